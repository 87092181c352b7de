import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { systemDisk } from '../log/disk.ts'
import { loadOrCreateIdentity } from '../log/identity-file.ts'
import type { LogStore } from '../log/log-store.ts'
import { MemoryLogStore } from '../log/memory-log-store.ts'
import { SegmentLogStore } from '../log/segment-log-store.ts'
import { SnapshotStore } from '../log/snapshot-store.ts'
import { type Chosen, chooseMachine } from '../machine/registry.ts'
import type { Logger } from '../node/logger.ts'
import type { SnapshotOptions } from '../node/node-options.ts'
import type { Identity } from '../raft/types.ts'
import { foreignNames } from '../repair/agent-repair.ts'
import { type Rejoin, readRejoin } from '../repair/rejoin.ts'
import { newestSetAside } from '../repair/set-aside.ts'
import {
  FilePeerIdentities,
  MemoryPeerIdentities,
  type PeerIdentities,
} from '../transport/peer-identities.ts'

/** What the node keeps, and who it is because of it. */
export interface Storage {
  readonly identity: Identity
  readonly identities: PeerIdentities
  /** nobody else was ever met that could have what is lost here */
  readonly alone: boolean
  readonly log: LogStore
  /** where snapshots are kept */
  readonly snapshots: string
  readonly chosen: Chosen
  /** how it came back, where it gave up what it was */
  readonly rejoin: Rejoin | null
  /** changes when what the machine held was given up */
  readonly life: string
}

/** Nothing of it is open yet. @throws in words for the operator */
export async function storageOf(config: Config): Promise<Storage> {
  const name = { clusterId: config.clusterName, nodeId: config.nodeId }
  if (config.inMemory) {
    return {
      // A new one for each process: it has forgotten what the one before it promised.
      identity: { ...name, incarnation: randomUUID() },
      identities: new MemoryPeerIdentities(),
      alone: false,
      log: new MemoryLogStore(),
      snapshots: directoryOfThisProcess(),
      chosen: await chooseMachine(config.machine, { directory: null }),
      rejoin: null,
      life: '',
    }
  }
  const rejoin = await readRejoin(systemDisk, config.raftDir)
  // What a node left when it gave up what it was tells nothing of the past.
  const expected = rejoin === null ? foreignNames(config) : await systemDisk.list(config.raftDir)
  const identity = await loadOrCreateIdentity(config.raftDir, name, randomUUID, { expected })
  const identities = await FilePeerIdentities.open(config.raftDir)
  return {
    identity,
    identities,
    alone: !identities.hasMetPeers,
    log: new SegmentLogStore({ directory: config.log.dir, mustExist: identities.hasMetPeers }),
    snapshots: join(config.raftDir, 'snapshots'),
    chosen: await chooseMachine(config.machine, { directory: config.raftDir }),
    rejoin,
    life: await newestSetAside(systemDisk, config.raftDir),
  }
}

/** A snapshot is a file, of a node in memory too. */
function directoryOfThisProcess(): string {
  const directory = mkdtempSync(join(tmpdir(), 'raft-nginx-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Where snapshots are kept, and when the log is shortened. */
export function snapshotsOf(config: Config, directory: string, logger: Logger): SnapshotOptions {
  const { enabled, intervalSec, threshold, retain } = config.snapshot
  const onDamage = (words: string) => logger.warn({}, words)
  return {
    store: new SnapshotStore({ directory, retain, onDamage }),
    enabled,
    intervalMs: intervalSec * 1000,
    threshold,
    trailing: config.log.trailingLogs,
  }
}
