/**
 * Keys that become nginx's configuration, on three nodes with real companions. Run by itself:
 * `npx tsx agent/test/cluster/structure.process.ts`.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { gatewayPid } from '../../../scripts/lib/gateway-server.ts'
import { agentUrl, gatewayUrl, type NodePlace, ROOT } from '../../../scripts/lib/layout.ts'
import { kill, killGateway, start, startNginx } from '../../../scripts/lib/operations.ts'
import { childrenOf, commandLine } from '../../../scripts/lib/processes.ts'
import { startCluster, type TestCluster, temporaryDirectory, until } from './harness.ts'

t.setTimeout(300_000)

const CLI = join(ROOT, 'agent/dist/cli/raft-nginx.js')
const { NGINX_PROGRAM: NGINX = '/usr/sbin/nginx' } = process.env
const HOST = 'one.example'

interface Structure {
  readonly state: string
  readonly index: number | null
  readonly tried: number | null
  readonly error: string | null
}

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const sitePort = ({ gatewayPort }: NodePlace) => gatewayPort + 20
const tlsPort = ({ gatewayPort }: NodePlace) => gatewayPort + 21
const linkOf = ({ prefix }: NodePlace) => join(prefix, 'raft-structure')

/** What an operator has on each machine: the include, and what differs between them. */
function prepare(node: NodePlace): void {
  mkdirSync(join(node.prefix, 'sites'), { recursive: true })
  writeFileSync(join(node.prefix, 'sites/structure.conf'), 'include raft-structure/http.conf;\n')
  writeFileSync(join(node.prefix, 'listen.conf'), `listen 127.0.0.1:${sitePort(node)};\n`)
  writeFileSync(join(node.prefix, 'listen-tls.conf'), `listen 127.0.0.1:${tlsPort(node)} ssl;\n`)
}

class CompanionProcess {
  readonly #child: ChildProcess
  said = ''

  constructor(owner: Test, node: NodePlace, env: Readonly<Record<string, string>> = {}) {
    const place = ['--dir', join(node.directory, 'structure'), '--nginx', NGINX]
    const nginx = ['--main', join(node.prefix, 'nginx.conf'), '--prefix', node.prefix]
    const args = ['--endpoint', agentUrl(node), 'companion', ...place, ...nginx, '--retry', '1']
    this.#child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, ...env } })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.said += text
    })
    owner.teardown(() => this.end('SIGKILL'))
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  get exitCode(): number | null {
    return this.#child.exitCode
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child.kill(signal)
    await until('the companion ends', () => this.hasEnded)
  }
}

async function structureOf(node: NodePlace, url = agentUrl(node)): Promise<Structure | null> {
  const answer = await fetch(`${url}/status`).catch(() => null)
  if (answer === null) return null
  return ((await answer.json()) as { structure: Structure | null }).structure
}

/** What a client sees whose new connection an nginx took that is ending: nobody has read its request. */
const CLOSING = /^(?:socket hang up|read ECONNRESET)$/

/**
 * What its nginx answers for the host, or why it does not. A connection of its own each time; as browsers do, it asks
 * once more where that was closed.
 */
async function answered(node: NodePlace, path = '/'): Promise<string> {
  const answer = await answeredOnce(node, path)
  return CLOSING.test(answer) ? answeredOnce(node, path) : answer
}

function answeredOnce(node: NodePlace, path: string): Promise<string> {
  return new Promise(resolve => {
    const where = { host: '127.0.0.1', port: sitePort(node), path, agent: false }
    const asking = request({ ...where, headers: { Host: HOST } }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', (more: string) => {
        text += more
      })
      answer.on('end', () => resolve(`${answer.statusCode} ${text.trim()}`))
    })
    asking.on('error', error => resolve(`${error.message}`))
    asking.end()
  })
}

async function cli(...args: string[]): Promise<Ran> {
  const child = spawn(process.execPath, [CLI, ...args])
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise(resolve => child.once('close', code => resolve({ code, stdout, stderr })))
}

function site(text: string): string {
  return `server {
    include listen.conf;
    server_name ${HOST};
    location / { return 200 "${text}"; }
    location /app { proxy_pass http://app; }
}
`
}

async function backend(t: Test, name: string): Promise<string> {
  const server = createServer((_incoming, outgoing) => outgoing.end(name)).listen(0, '127.0.0.1')
  await until('it listens', () => server.listening)
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function put(node: NodePlace, key: string, value: string): Promise<number> {
  const answer = await fetch(`${agentUrl(node)}/v1/kv/${key}`, { method: 'PUT', body: value })
  await answer.text()
  return answer.status
}

function write(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, '..'), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
}

async function everywhere(cluster: TestCluster, path: string, wanted: string): Promise<void> {
  for (const node of cluster.nodes) {
    await until(`${node.id} answers ${wanted}`, async () => (await answered(node, path)) === wanted)
  }
}

/** Every answer of every node, while it goes on. */
function clients(cluster: TestCluster) {
  const counts = new Map<string, number>()
  const state = { stopped: false }
  const running = cluster.nodes.map(async node => {
    while (!state.stopped) {
      const answer = (await answered(node)).replace(/^(200) .*/, '$1')
      counts.set(answer, (counts.get(answer) ?? 0) + 1)
    }
  })
  const stop = async () => {
    state.stopped = true
    await Promise.all(running)
    return counts
  }
  return { counts, stop }
}

t.test('keys become the configuration of three nginx, and a bad one of none', async t => {
  const cluster = await startCluster(t, {}, { structure: { enabled: true } })
  const leader = await cluster.leader()
  const [follower, other] = cluster.others(leader)
  if (follower === undefined || other === undefined) throw new Error('there are three nodes')
  for (const node of cluster.nodes) prepare(node)
  const companions = new Map(cluster.nodes.map(node => [node.id, new CompanionProcess(t, node)]))
  const directory = temporaryDirectory(t)
  const [blue, green] = [await backend(t, 'blue'), await backend(t, 'green')]
  const push = (...more: string[]) =>
    cli('--endpoint', agentUrl(follower), 'structure', 'push', directory, '--wait', ...more)

  write(directory, {
    'http.d/site.conf': site('one'),
    'upstreams/app.json': JSON.stringify([blue]),
    '.git/config': 'not for nginx',
  })
  const pushed = await push()
  t.equal(pushed.code, 0, pushed.stderr)
  for (const node of cluster.nodes) {
    t.equal(await answered(node), '200 one', `${node.id}, once the push has returned`)
    t.equal(await answered(node, '/app'), '200 blue')
    t.match(await structureOf(node), { state: 'ok', error: null })
  }
  const load = clients(cluster)

  await t.test('the list of an upstream', async t => {
    t.equal(await put(leader, 'nginx/upstreams/app.json', JSON.stringify([green])), 200)
    await everywhere(cluster, '/app', '200 green')
    t.equal(await put(leader, 'nginx/upstreams/app.json', '[]'), 200)
    for (const node of cluster.nodes) {
      await until('nobody serves', async () => (await answered(node, '/app')).startsWith('502'))
    }
  })

  await t.test('a certificate, whose key only its owner may read', async t => {
    const made = spawnSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
        ...['-days', '2', '-subj', `/CN=${HOST}`, '-keyout', 'a.key', '-out', 'a.pem'],
      ],
      { cwd: directory, encoding: 'utf8' },
    )
    t.equal(made.status, 0, made.stderr)
    const pem = readFileSync(join(directory, 'a.pem'), 'utf8')
    write(directory, {
      'certs/a.pem': pem,
      'certs/a.key': readFileSync(join(directory, 'a.key'), 'utf8'),
      'http.d/tls.conf': `server {
        include listen-tls.conf;
        ssl_certificate {{dir}}/certs/a.pem;
        ssl_certificate_key {{dir}}/certs/a.key;
      }`,
    })
    for (const name of ['a.pem', 'a.key']) rmSync(join(directory, name))
    const ran = await push()
    t.equal(ran.code, 0, ran.stderr)
    for (const node of cluster.nodes) {
      const { fingerprint256 } = new X509Certificate(pem)
      const shown = () => fingerprint(tlsPort(node))
      t.equal(await shown().catch(shown), fingerprint256, node.id)
      t.equal(statSync(join(linkOf(node), 'certs/a.key')).mode & 0o777, 0o600)
    }
    const answer = await fetch(`${gatewayUrl(leader)}/key/nginx%2Fcerts%2Fa.key`)
    t.equal(answer.status, 403, 'and no client gets it')
  })

  await t.test('what nginx refuses runs nowhere, and everybody says why', async t => {
    const before = await structureOf(leader)
    write(directory, { 'http.d/site.conf': `${site('two')}\nnonsense;\n` })
    const ran = await push()
    t.equal(ran.code, 1)
    t.match(ran.stdout, /unknown directive "nonsense" in nginx\/http\.d\/site\.conf:8/)
    for (const node of cluster.nodes) {
      await until('it says so', async () => (await structureOf(node))?.state === 'rejected')
      const view = await structureOf(node)
      t.match(view, { index: before?.index, error: /nginx\/http\.d\/site\.conf:8/ })
      t.ok((view?.tried ?? 0) > (before?.index ?? 0))
      t.equal(await answered(node), '200 one')
      let shown: Structure | null = null
      await until('its gateway says so', async () => {
        shown = await structureOf(node, gatewayUrl(node))
        return shown !== null
      })
      t.match(shown, { state: 'rejected', error: /own port/ }, 'clients do not read it')
    }
    t.equal((await cli('--endpoint', agentUrl(leader), 'structure', 'status')).code, 1)
    write(directory, { 'http.d/site.conf': site('two') })
    t.equal((await push()).code, 0)
    for (const node of cluster.nodes) t.equal(await answered(node), '200 two')
    t.equal((await cli('--endpoint', agentUrl(leader), 'structure', 'status')).code, 0)
    const brief = await cli('--endpoint', agentUrl(leader), 'status')
    t.match(brief.stdout, /structure\n.*ok \d+/)
  })

  await t.test('clients write none of it', async t => {
    for (const node of cluster.nodes) {
      const url = `${gatewayUrl(node)}/v1/kv/nginx/http.d/evil.conf`
      const answer = await fetch(url, { method: 'PUT', body: '#' })
      t.equal(answer.status, 403, node.id)
      const tree = await fetch(`${gatewayUrl(node)}/v1/kv/?recurse`, { method: 'DELETE' })
      t.equal(tree.status, 403, node.id)
    }
  })

  await t.test('a burst of changes is few reloads', async t => {
    const companion = companions.get(other.id)
    if (companion === undefined) throw new Error('it has one')
    const loads = () => [...companion.said.matchAll(/^companion: ok: /gm)].length
    const before = loads()
    const begun = performance.now()
    for (let at = 1; at <= 30; at++)
      await put(leader, 'nginx/http.d/site.conf', site(`burst ${at}`))
    await everywhere(cluster, '/', '200 burst 30')
    const seconds = (performance.now() - begun) / 1000
    t.ok(loads() - before <= seconds + 2, `${loads() - before} reloads in ${seconds} s`)
  })

  await t.test(
    'a machine whose own configuration is broken blames nobody, and comes back',
    async t => {
      const broken = join(other.prefix, 'sites/zz.conf')
      writeFileSync(broken, 'garbage;\n')
      t.equal(await put(leader, 'nginx/http.d/site.conf', site('three')), 200)
      await until('it says so', async () => (await structureOf(other))?.state === 'blocked')
      t.match(await structureOf(other), { error: /without this change.*garbage/ })
      t.equal(await answered(other), '200 burst 30')
      await until('others do', async () => (await answered(leader)) === '200 three')
      rmSync(broken)
      await everywhere(cluster, '/', '200 three')
    },
  )

  await t.test('an agent that is killed and comes back costs no reload', async t => {
    const workers = () =>
      childrenOf(gatewayPid(follower) ?? 0).filter(pid =>
        commandLine(pid).includes('nginx: worker process'),
      )
    await until('old workers are gone', () => workers().length === 1)
    const before = workers()
    await kill(follower)
    t.equal(await answered(follower), '200 three', 'nginx goes on')
    await start(cluster.place, follower)
    await until('it reports', async () => (await structureOf(follower))?.state === 'ok')
    t.strictSame(workers(), before)
  })

  await t.test('a companion killed at any step leaves what was tested', async t => {
    await companions.get(other.id)?.end('SIGKILL')
    const tested = new Set(['200 three'])
    let text = ''
    for (const point of ['written', 'checked', 'linked', 'reloaded', 'confirmed']) {
      const dying = new CompanionProcess(t, other, {
        RAFT_NGINX_FAIL: `structure:${point}:kill@1`,
      })
      const next = `killed at ${point}`
      tested.add(`200 ${next}`)
      text = next
      t.equal(await put(leader, 'nginx/http.d/site.conf', site(next)), 200)
      await until(`it dies at ${point}`, () => dying.hasEnded)
      const judged = spawnSync(NGINX, [
        '-t',
        '-p',
        other.prefix,
        '-c',
        join(other.prefix, 'nginx.conf'),
      ])
      t.equal(judged.status, 0, `${point}: what counts was tested`)
      const now = await answered(other)
      t.ok(tested.has(now), `${point}: ${now}`)
      if (point === 'linked') {
        // Nobody is there to help.
        const counts = readFileSync(join(linkOf(other), 'http.d/site.conf'), 'utf8')
        t.match(counts, next)
      }
    }
    const back = new CompanionProcess(t, other)
    await until('it has caught up', async () => (await answered(other)) === `200 ${text}`)
    await until('it says so', async () => (await structureOf(other))?.state === 'ok')
    await back.end('SIGTERM')
    t.equal(back.exitCode, 0)
  })

  const counts = await load.stop()
  t.strictSame([...counts.keys()], ['200'], 'no request was lost by a reload')
  t.comment(`${counts.get('200')} requests during the reloads`)

  await t.test(
    'a machine that starts anew starts with the last good one, without a companion',
    async t => {
      await killGateway(other)
      await startNginx(cluster.place, other)
      t.match(await answered(other), '200 killed at confirmed')
      t.ok(realpathSync(linkOf(other)).includes('/releases/'))
    },
  )
})

function fingerprint(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}
