/** Three real agents, each with a real nginx that reads its own memory. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { main as render } from '../../../agent/src/gateway/render-main.ts'
import { ENGINE, freePort, NGINX, Nginx, type Owner, temporaryFolder, until } from './fleet.ts'
import { type RawAnswer, request, send } from './raw-client.ts'

const AGENT = fileURLToPath(new URL('../../../agent/dist/main.js', import.meta.url))

/** One gateway. */
export interface EdgeNode {
  readonly port: number
  /** of its agent */
  readonly httpPort: number
  readonly prefix: string
  readonly nginx: Nginx
  readonly agent: ChildProcess
}

export interface ClusterOptions {
  /** configuration files of its own for each nginx: names and texts */
  readonly sites?: (at: number) => ReadonlyMap<string, string>
  /** of an agent's settings, beside the usual ones of `edge` */
  readonly edge?: (at: number) => Readonly<Record<string, unknown>>
  /** base URLs that members tell each other; default: none */
  readonly gateways?: readonly string[]
  /** added to the renderer's command line */
  readonly args?: readonly string[]
}

const COUNT = 3

/** Returns once writes are taken. */
export async function startEdgeCluster(t: Owner, options: ClusterOptions = {}) {
  const {
    sites = () => new Map<string, string>(),
    edge = () => ({}),
    args = [],
    gateways,
  } = options
  const folder = temporaryFolder(t)
  const ports: { readonly http: number; readonly raft: number; readonly gateway: number }[] = []
  for (let at = 0; at < COUNT; at++) {
    ports.push({ http: await freePort(), raft: await freePort(), gateway: await freePort() })
  }
  const members = ports.map(({ http, raft }, at) => ({
    id: `node${at}`,
    address: `127.0.0.1:${http}`,
    raft_bind: `127.0.0.1:${raft}`,
    ...(gateways?.[at] !== undefined && { gateway: gateways[at] }),
  }))
  const nodes: EdgeNode[] = []
  for (const [at, { gateway: port, http: httpPort }] of ports.entries()) {
    const prefix = path.join(folder, `prefix${at}`)
    for (const [name, text] of sites(at)) {
      mkdirSync(path.join(prefix, 'sites'), { recursive: true })
      writeFileSync(path.join(prefix, 'sites', name), text)
    }
    const config = path.join(folder, `agent${at}.json`)
    const own = {
      nodes: members,
      node_id: `node${at}`,
      in_memory: true,
      server: { socket: path.join(folder, `agent${at}.sock`) },
      edge: { socket: path.join(prefix, 'run/edge.sock'), ...edge(at) },
    }
    writeFileSync(config, JSON.stringify(own))
    const listen = ['--listen', `127.0.0.1:${port}`, '--edge-reads', '4m', '--workers', '2']
    const where = ['--config', config, '--prefix', prefix, '--nginx', NGINX]
    if ((await render([...where, ...listen, ...ENGINE, ...args])) !== 0) {
      throw new Error('the rendered configuration was refused')
    }
    const agent = spawn(process.execPath, [AGENT, '--config', config], { stdio: 'ignore' })
    t.teardown(() => end(agent))
    const nginx = await Nginx.start(prefix, port)
    t.teardown(() => nginx.stop())
    nodes.push({ port, httpPort, prefix, nginx, agent })
  }
  const post = (pairs: Readonly<Record<string, string>>, at = 0) =>
    postPairs(portOf(nodes, at), pairs)
  await until('writes are taken', async () => (await post({ started: 'yes' })).status === 200)
  return {
    nodes,
    post,
    /** `PUT /v1/kv/<key>` through the first; `body` is latin1 */
    put: (key: string, body: string, query = '', ...headers: string[]) => {
      const bytes = Buffer.from(body, 'latin1')
      const target = `/v1/kv/${encodeURI(key)}${query}`
      const head = request('PUT', target, `Content-Length: ${bytes.length}`, ...headers)
      return send(portOf(nodes, 0), Buffer.concat([Buffer.from(head, 'latin1'), bytes]))
    },
    remove: (key: string, at = 0) =>
      send(portOf(nodes, at), request('DELETE', `/key/${encodeURIComponent(key)}`)),
  }
}

export type EdgeCluster = Awaited<ReturnType<typeof startEdgeCluster>>

/** As a crash would. */
export async function end(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return
  agent.kill('SIGKILL')
  await once(agent, 'exit')
}

/** A write through the gateway of that port. */
export function postPairs(
  port: number,
  pairs: Readonly<Record<string, string>>,
): Promise<RawAnswer> {
  const body = Buffer.from(JSON.stringify(pairs))
  const length = `Content-Length: ${body.length}`
  const head = request('POST', '/key', 'Content-Type: application/json', length)
  return send(port, Buffer.concat([Buffer.from(head), body]))
}

function portOf(nodes: readonly EdgeNode[], at: number): number {
  const node = nodes[at]
  if (node === undefined) throw new Error(`there is no gateway ${at}`)
  return node.port
}
