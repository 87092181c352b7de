/** The nginx of one node, as a process. */

import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasSharedDict } from '../../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../../agent/src/gateway/nginx-binary.ts'
import { buildOf, RENDER_PROGRAM } from './builds.ts'
import { memberList, type NodePlace, type Place } from './layout.ts'
import { commandIn, runningPid, type Server, type Started, startServer } from './processes.ts'

export function gatewayServer({ nginxPidFile, prefix }: NodePlace): Server {
  return { pidFile: nginxPidFile, mark: `-p ${prefix} `, folder: prefix }
}

/**
 * Renders the prefix for the members there are now and tests it.
 * @throws Error with what nginx says
 */
export function renderGateway(place: Place, node: NodePlace): void {
  const list = join(node.directory, 'members.json')
  writeFileSync(list, `${JSON.stringify(memberList(place, node), null, 2)}\n`)
  const members = ['--members', list, '--node', node.id, '--socket', node.socket]
  const listen = ['--listen', `${node.host}:${node.gatewayPort}`]
  const mode = ['--write-mode', node.writeMode]
  const edge = ['--edge-reads', 'auto', '--edge-socket', node.edgeSocket]
  const { NGINX_JS_ENGINE: engine = 'njs' } = process.env
  const own = ['--prefix', node.prefix, '--nginx', nginxProgram(), '--js-engine', engine]
  const render = join(buildOf(node), RENDER_PROGRAM)
  const args = [render, ...members, ...own, ...listen, ...mode, ...edge]
  // nginx tests an address by taking it
  const [program, ...words] = commandIn(node.namespace, [process.execPath, ...args])
  const { status, stderr, error } = spawnSync(program, words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`nginx of ${node.id}: ${error?.message ?? stderr.trim()}`)
}

/** In the foreground of a session of its own, so that its process id is known from the start. */
export async function startGateway(node: NodePlace): Promise<Started> {
  return startServer(gatewayServer(node), {
    program: nginxProgram(),
    args: ['-p', node.prefix, '-c', join(node.prefix, 'nginx.conf'), '-g', 'daemon off;'],
    logFile: node.nginxLog,
    namespace: node.namespace,
  })
}

export function gatewayPid(node: NodePlace): number | null {
  return runningPid(gatewayServer(node))
}

/** nginx writes its warnings here, and to its output only what it has to say before. */
export function gatewayErrorLog({ prefix }: NodePlace): string {
  return join(prefix, 'logs/error.log')
}

const able = new Map<string, boolean>()

/** Whether this nginx has a memory that reads can be answered from: njs 0.8 or later. */
export function hasMemory(): boolean {
  const program = nginxProgram()
  const known = able.get(program)
  if (known !== undefined) return known
  const found = hasSharedDict(program, findJsModule(program))
  able.set(program, found)
  return found
}

/** NGINX_PROGRAM, or the machine's own: an ordinary user's PATH often lacks /usr/sbin. */
function nginxProgram(): string {
  const { NGINX_PROGRAM: given } = process.env
  if (given) return given
  return existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx'
}
