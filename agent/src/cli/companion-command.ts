import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { readConfig } from '../config.ts'
import { parseHostPort } from '../lib/host-port.ts'
import { lockFile } from '../os/file-lock.ts'
import { Companion, STRUCTURE_POINTS, type StructurePoint } from '../structure/companion.ts'
import { type FollowOptions, follow, keepReporting, PACE } from '../structure/follow.ts'
import { NginxControl } from '../structure/nginx-control.ts'
import { ReleaseStore } from '../structure/release-store.ts'
import type { Context } from './context.ts'
import { parseEndpoint } from './endpoint.ts'
import { failed, misused } from './exit.ts'
import { secondsOption } from './options.ts'
import type { Run } from './run.ts'
import { LocalAgent } from './structure-agent.ts'

interface Given {
  readonly config?: string
  readonly dir: string
  readonly main: string
  readonly link: string
  readonly nginx: string
  readonly prefix?: string
  readonly pid?: string
  readonly interval: number
  readonly retry: number
  readonly acceptOlder?: boolean
}

/** What nginx's configuration can name without doubt. */
const PLAIN = /^[A-Za-z0-9._/@+,=-]+$/
const LINK = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/

/** Where the releases are, which nginx, and how it includes them. */
export const PLACES = {
  dir: '/var/lib/raft-nginx-structure',
  main: '/etc/nginx/nginx.conf',
  link: 'raft-structure',
  nginx: '/usr/sbin/nginx',
} as const

/** `companion`: beside nginx, with the rights of its master. */
export function addCompanionCommand(program: Command, run: Run): void {
  program
    .command('companion')
    .description(
      "render the keys that are nginx's configuration, test and reload it, until Ctrl-C; as nginx's master is run: root",
    )
    .option('-c, --config <file>', "the agent's configuration, to learn where it listens")
    .option('--dir <directory>', 'where releases are kept', PLACES.dir)
    .option('--main <file>', "nginx's main configuration", PLACES.main)
    .option('--link <name>', 'beside it, what leads to the current release', PLACES.link)
    .option('--nginx <file>', "nginx's binary", PLACES.nginx)
    .option('--prefix <directory>', 'as for nginx -p')
    .option('--pid <file>', 'of its master (default: as its configuration says)')
    .addOption(
      secondsOption('--interval <seconds>', 'between two reloads at least', PACE.intervalMs),
    )
    .addOption(secondsOption('--retry <seconds>', 'what was refused is tried again', PACE.retryMs))
    .option('--accept-older', 'take a store whose index is below what runs: it was restored')
    .action(run(companion))
}

async function companion(context: Context, given: Given): Promise<void> {
  const { RAFT_NGINX_FAIL: planned } = context.env
  const signal = context.interrupt()
  const { store, nginx } = placesOf(given)
  const say = (line: string) => context.stderr.write(`companion: ${line}\n`)
  const agent = new LocalAgent({ endpoint: endpointOf(context, given), signal })
  const change = changes()
  const one = new Companion({
    prefix: () => agent.prefix,
    store,
    nginx,
    link: given.link,
    now: () => Date.now(),
    reach: crashing(planned),
    onChange: () => {
      const { state, index, tried, error } = one.report()
      say(`${state}: index ${tried ?? '-'}, runs ${index ?? 'none'}${error ? `: ${error}` : ''}`)
      change.happen()
    },
  })
  const directory = resolve(given.dir)
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  const lock = lockFile(join(directory, 'lock'))
  if (lock === null) throw failed(`another companion has ${directory}`)
  try {
    await one.open().catch(error => {
      throw failed(error instanceof Error ? error.message : String(error))
    })
    if (given.acceptOlder) one.forget()
    const pace = { ...PACE, intervalMs: given.interval, retryMs: given.retry }
    const options: FollowOptions = {
      ...{ companion: one, agent, pace, say, signal },
      draining: () => nginx.draining(),
    }
    await Promise.all([
      followWhenAgreed(options, agent),
      keepReporting({ ...options, changed: change.next }),
    ])
  } finally {
    lock.release()
  }
}

/** The agent says which keys, and that they are nobody's but operators'. */
async function followWhenAgreed(options: FollowOptions, agent: LocalAgent): Promise<void> {
  await agent.agreed
  if (!options.signal.aborted) await follow(options)
}

function placesOf({ dir, main, link, nginx, prefix, pid }: Given) {
  const directory = resolve(dir)
  if (!PLAIN.test(directory)) throw misused(`${directory}: nginx's configuration cannot name it`)
  if (!LINK.test(link)) throw misused(`${link}: a plain name is needed`)
  const place = {
    binary: nginx,
    main: resolve(main),
    prefix: prefix === undefined ? null : resolve(prefix),
    pidFile: pid === undefined ? null : resolve(pid),
    link,
    work: directory,
  }
  const store = new ReleaseStore(directory, join(resolve(main, '..'), link))
  return { store, nginx: new NginxControl(place) }
}

/** Its own agent, on the port for operators: nobody else knows what this node is to run. */
function endpointOf({ client }: Context, { config: file }: Given) {
  if (file === undefined) {
    const [only, ...more] = client.endpoints
    if (only === undefined || more.length > 0) throw misused('a companion has one agent: its own')
    return only
  }
  const result = readConfig({ file, env: {}, overrides: {} })
  if (result.kind === 'faults') throw failed(result.faults.join('\n'))
  const { host, port } = parseHostPort(result.config.server.listen) ?? { host: '', port: 0 }
  const own = ['', '0.0.0.0'].includes(host) ? '127.0.0.1' : host === '::' ? '::1' : host
  return parseEndpoint(own.includes(':') ? `[${own}]:${port}` : `${own}:${port}`, client.token)
}

/** Tests end the companion at a step: `structure:linked:kill@2`. */
function crashing(text: string | undefined): (point: StructurePoint) => void {
  const [, name, times] = /^structure:([a-z]+):kill@([1-9][0-9]{0,8})$/.exec(text ?? '') ?? []
  if (text !== undefined && !STRUCTURE_POINTS.some(point => point === name)) {
    throw misused(`RAFT_NGINX_FAIL: must be structure:POINT:kill@N, not ${text}`)
  }
  let reached = 0
  return point => {
    if (point === name && ++reached === Number(times)) process.kill(process.pid, 'SIGKILL')
  }
}

/** Lets one who waits know. */
function changes(): { happen(): void; next(): Promise<void> } {
  let settle = (): void => {}
  let coming = new Promise<void>(resolve => {
    settle = resolve
  })
  return {
    happen: () => {
      settle()
      coming = new Promise(resolve => {
        settle = resolve
      })
    },
    next: () => coming,
  }
}
