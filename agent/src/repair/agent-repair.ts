import { basename, dirname } from 'node:path'
import type { Clock } from '../clock/clock.ts'
import type { Config } from '../config.ts'
import type { AskAgent } from '../http/ask-agent.ts'
import { machineFilesIn } from '../machine/registry.ts'
import { MachineDamaged } from '../machine/state-machine.ts'
import type { Logger } from '../node/logger.ts'
import { Repair } from './repair.ts'

/** The repair of an agent's own disk. */
export function repairOf(
  config: Config,
  { clock, log, ask }: { readonly clock: Clock; readonly log: Logger; readonly ask: AskAgent },
): Repair {
  const { nodeId: id, nodes, raftDir: dataDir, repair: policy } = config
  return new Repair({
    place: {
      dataDir,
      logDir: config.log.dir,
      machineFiles: () => machineFilesIn(dataDir),
      foreign: foreignNames(config),
    },
    policy,
    known: { id, nodes, join: config.join },
    clock,
    log,
    ask,
  })
}

/** Names in the data directory that are not the node's. The earlier Go program's configurations have "raft_dir": "./". */
export function foreignNames({ file, raftDir, server, edge, peers }: Config): readonly string[] {
  const credentials = peers === null ? [] : Object.values(peers)
  const paths = [file, server.socket, edge.socket, ...credentials].filter(path => path !== null)
  return paths.filter(path => dirname(path) === raftDir).map(path => basename(path))
}

/** Whether what stopped the node is that its machine's own files are not what was written. */
export function isOwnDamage(config: Config, error: unknown): boolean {
  if (config.inMemory || !(error instanceof Error)) return false
  // It is also what is said of a snapshot that was received.
  if (error instanceof MachineDamaged) return dirname(error.file) === config.raftDir
  const { code } = error as { readonly code?: unknown }
  if (typeof code === 'string' && /^SQLITE_(?:CORRUPT|NOTADB)/.test(code)) return true
  return isOwnDamage(config, error.cause)
}
