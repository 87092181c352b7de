/** Renders nginx's configuration for one node and puts it in place: see `USAGE`. */

import { lookup } from 'node:dns/promises'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type CommandLine, parseCommandLine, readDescription, USAGE } from './command-line.ts'
import { edgeOptionsOf, removeDeadSocket } from './edge-options.ts'
import { splitAddress } from './faults.ts'
import { installDropIn, installPrefix, type Verdict } from './install.ts'
import { findJsModule, runNginx } from './nginx-binary.ts'
import { render } from './render.ts'
import type { GatewayMember, RenderInput, RenderOptions } from './render-input.ts'

/** The package's root: this file runs from agent/src and from agent/dist. */
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const MAIN = 'nginx.conf'

/** @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const line = parseCommandLine(args)
  if (line.help) {
    process.stdout.write(USAGE)
    return 0
  }
  const binary = line.nginx ?? (existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx')
  const input = await gather(line, binary)
  const rendering = render(input)
  if (rendering.kind === 'rejected') {
    for (const fault of rendering.faults) process.stderr.write(`${fault}\n`)
    return 1
  }
  const verdict = await put(line, { binary, files: rendering.files, edge: input.options.edge })
  process.stderr.write(verdict.text)
  return verdict.ok ? 0 : 1
}

interface Rendered {
  readonly binary: string
  readonly files: ReadonlyMap<string, string>
  readonly edge: RenderOptions['edge']
}

/** Tests the files and puts them in place. */
async function put(line: CommandLine, { binary, files, edge }: Rendered): Promise<Verdict> {
  const dropIn = line['drop-in'] !== undefined
  const folder = path.resolve(line['drop-in'] ?? needed(line.prefix, '--prefix or --drop-in'))
  const main = path.join(folder, MAIN)
  const own = dropIn ? ['-c', main] : ['-p', folder, '-c', main]
  let verdict: Verdict
  if (dropIn) {
    const theirs = new Map([...files].filter(([name]) => name !== MAIN))
    const test = () => runNginx(binary, ['-t', '-q', ...own])
    verdict = installDropIn(folder, theirs, test, line.check)
  } else {
    const test = (file: string) => runNginx(binary, ['-t', '-q', '-p', folder, '-c', file])
    verdict = installPrefix(folder, files, test, line.check)
    if (verdict.ok && !line.check) await removeDeadSocket(edge)
  }
  return verdict.ok && line.reload && !line.check ? reload(binary, own) : verdict
}

/** After the files are in place: a fault here leaves them there. */
function reload(binary: string, target: readonly string[]): Verdict {
  const verdict = runNginx(binary, ['-s', 'reload', ...target])
  if (verdict.ok) return verdict
  const text = `the files are in place, but nginx was not reloaded:\n${verdict.text}`
  return { ok: false, text }
}

async function gather(line: CommandLine, binary: string): Promise<RenderInput> {
  const described = readDescription(needed(line.config ?? line.members, '--config or --members'))
  const dropIn = line['drop-in'] !== undefined
  const prefix = path.resolve(dropIn ? '/' : needed(line.prefix, '--prefix or --drop-in'))
  const names = namesOf(described.members)
  const engine = line['js-engine'] as RenderOptions['engine']
  const bundle = path.resolve(line.bundle ?? path.join(ROOT, `build/${engine}/gateway.js`))
  const jsModule = findJsModule(binary)
  const options: RenderOptions = {
    // a drop-in has no server of its own
    listen: dropIn ? '8100' : needed(line.listen, '--listen'),
    writeMode: line['write-mode'] as RenderOptions['writeMode'],
    socket: path.resolve(needed(line.socket ?? described.socket, '--socket')),
    prefix,
    sites: path.resolve(line.sites ?? path.join(prefix, 'sites')),
    cache: path.resolve(line.cache ?? (dropIn ? stateFolder() : path.join(prefix, 'cache'))),
    engine,
    bundle,
    jsModule,
    user: userOf(line),
    workers: line.workers === 'auto' ? 'auto' : Number(line.workers),
    writeRate: writeRateOf(line['write-rate'] ?? (dropIn ? '1000' : '0')),
    writesInFlight: Number(line['writes-in-flight']),
    keepalive: 256,
    forwardTimeoutMs: Number(line['forward-timeout']),
    accessLog: line['access-log'],
    resolvers: names.length === 0 ? [] : resolversOf(line.resolver),
    addresses: await lookUp(names, Number(line.resolve) * 1000),
    edge: edgeOptionsOf(line, { binary, jsModule, prefix, bundle, described }),
  }
  const self = needed(line.node ?? described.node, '--node')
  return { templates: readTemplates(), self, members: described.members, options }
}

function needed(value: string | null | undefined, option: string): string {
  if (value === null || value === undefined) throw new Error(`${option} is needed; see --help`)
  return value
}

function readTemplates(): Map<string, string> {
  const folder = path.join(ROOT, 'nginx')
  const snippets = 'snippets/raft-nginx'
  const names = [MAIN, 'conf.d/raft-nginx.conf']
  for (const name of readdirSync(path.join(folder, snippets))) names.push(`${snippets}/${name}`)
  return new Map(names.map(name => [name, readFileSync(path.join(folder, name), 'utf8')]))
}

/** nginx makes the folder itself, but not the one above it: Debian has the second, nginx's image the first. */
function stateFolder(): string {
  return existsSync('/var/cache/nginx') ? '/var/cache/nginx/raft' : '/var/lib/nginx/raft'
}

/** nginx would pick `nobody`, who reaches neither the agent's socket nor the prefix. */
function userOf(line: CommandLine): string | null {
  if (process.getuid?.() !== 0) return null
  return line.user ?? userInfo().username
}

function writeRateOf(given: string): number | null {
  return given === '0' ? null : Number(given)
}

function namesOf(members: readonly GatewayMember[]): string[] {
  const addresses = members.map(member => splitAddress(member.address))
  return addresses.flatMap(address => (address === null || address.isIp ? [] : [address.host]))
}

function resolversOf(given: string | undefined): string[] {
  if (given !== undefined) return given.split(',')
  const file = '/etc/resolv.conf'
  if (!existsSync(file)) return []
  return [...readFileSync(file, 'utf8').matchAll(/^nameserver\s+([^\s%]+)\s*$/gm)].map(
    match => match[1] ?? '',
  )
}

/** Asks until every name is known or the time is over. A name that stays unknown is left to nginx's resolver. */
async function lookUp(names: readonly string[], waitMs: number): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  if (!(waitMs > 0)) return found
  const end = Date.now() + waitMs
  for (;;) {
    for (const name of names) {
      if (found.has(name)) continue
      const answer = await lookup(name, { family: 4 }).catch(() => null)
      if (answer !== null) found.set(name, answer.address)
    }
    if (names.every(name => found.has(name)) || Date.now() >= end) return found
    await sleep(250)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : ''
    process.stderr.write(
      `${error instanceof Error ? error.message : error}${cause && `: ${cause}`}\n`,
    )
    process.exitCode = 1
  }
}
