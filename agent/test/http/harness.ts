import { mkdtempSync, rmSync } from 'node:fs'
import type { NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { aclSource } from '../../src/acl/source.ts'
import type { BackupSource } from '../../src/http/backup/backups.ts'
import type { EdgeView } from '../../src/http/edge-view.ts'
import type { HttpLimits } from '../../src/http/limits.ts'
import { type HttpServer, startHttp } from '../../src/http/server.ts'
import type { StructureDesk } from '../../src/http/structure-view.ts'
import { SimulatedNode } from './simulated-node.ts'

export interface Harness {
  readonly node: SimulatedNode
  readonly http: HttpServer
  readonly tcp: NetConnectOpts
  readonly unix: NetConnectOpts
  readonly socket: string
  /** the agent's data directory */
  readonly directory: string
  /** what was logged as an error */
  readonly errors: string[]
}

interface Settings {
  readonly lean?: boolean
  readonly fast?: boolean
  readonly limits?: Partial<HttpLimits>
  readonly backup?: BackupSource
  readonly edge?: () => EdgeView
  readonly relay?: boolean
  readonly structure?: StructureDesk
  readonly reserved?: Uint8Array
  /** Unix ms */
  readonly wallMs?: () => number
}

/** A server on a free port and on a socket of its own; both go with the test. */
export async function serve(
  t: { teardown(end: () => Promise<void>): void },
  settings: Settings = {},
): Promise<Harness> {
  const { lean = true, fast = lean, limits = {}, wallMs = () => 0 } = settings
  const { backup, edge, relay = false, structure, reserved } = settings
  const directory = mkdtempSync(join(tmpdir(), 'raft-http-'))
  const socket = join(directory, 'agent.sock')
  const node = new SimulatedNode()
  const errors: string[] = []
  const http = await startHttp({
    node,
    feed: node.machine.changes,
    acl: aclSource({
      machine: node.machine,
      feed: node.machine.changes,
      wallMs,
      directory,
    }),
    relay,
    ...(backup && { backup }),
    ...(edge && { edge }),
    ...(structure && { structure }),
    ...(reserved && { reserved }),
    server: { listen: '127.0.0.1:0', socket, socketMode: 0o660 },
    limits: { closeGraceMs: 100, ...limits },
    version: '1.2.3',
    log: { info() {}, warn() {}, error: (_fields, message) => errors.push(message) },
    lean,
    fast,
  })
  t.teardown(async () => {
    await http.close()
    await node.machine.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const tcp = { host: '127.0.0.1', port: http.port }
  return { node, http, tcp, unix: { path: socket }, socket, directory, errors }
}

/** All ways through the same handlers. */
export const WAYS = [
  { way: 'fast', lean: true, fast: true },
  { way: 'lean', lean: true, fast: false },
  { way: 'Hono', lean: false, fast: false },
] as const

/** Keeps proposals waiting until `open` is called. */
export function gate({ node }: Pick<Harness, 'node'>): () => void {
  let open = (): void => {}
  node.gate = new Promise(resolve => {
    open = resolve
  })
  return open
}
