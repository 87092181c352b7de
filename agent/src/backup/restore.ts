import { randomUUID } from 'node:crypto'
import { copyFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { assert } from '../lib/assert.ts'
import { systemDisk } from '../log/disk.ts'
import { saveIdentity } from '../log/identity-file.ts'
import { SegmentLogStore } from '../log/segment-log-store.ts'
import { sumFile } from '../log/snapshot-file.ts'
import { chooseMachine } from '../machine/registry.ts'
import type { Beginning, Former, StateMachine } from '../machine/state-machine.ts'
import { syncFile } from '../os/durable-file.ts'
import { type Configuration, encodeConfiguration } from '../raft/configuration.ts'
import {
  asLogIndex,
  asTerm,
  type Identity,
  type LogPosition,
  type SnapshotHeader,
} from '../raft/types.ts'
import { isInside, RestoreRefusal, Target } from './target.ts'

export interface RestoreOptions {
  /** the backup; stays as it is */
  readonly file: string
  /** of the node that is to be the first of the new cluster */
  readonly config: Config
  /** Indexes that are left out behind the backup's. */
  readonly skipIndexes: number
  /** For tests: called where a crash would leave something half done. */
  readonly at?: (step: RestoreStep) => void
}

export type RestoreStep = 'claimed' | 'copied' | 'adopted' | 'restored' | 'log begun' | 'identified'

export interface Restored {
  readonly identity: Identity
  readonly former: Former
  /** Where the new cluster begins. */
  readonly position: LogPosition
}

const PART = 'restore.part'

/**
 * Makes the data directory of the only member of a new cluster out of a backup. It has another name, so that
 * members of the former one are refused; its log begins above all that the backup holds, in a higher
 * term, so that whoever joins gets a snapshot and replays nothing onto nothing.
 *
 * The identity is written last: until then no agent starts on the directory, and a restore can be repeated.
 * @throws RestoreRefusal | Error; then the directory is as empty as it was
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { file, config, at = () => undefined } = options
  await check(options)
  const { raftDir: data, log, file: configFile } = config
  const target = await Target.claim({ data, log: log.dir, configFile })
  const identity: Identity = {
    clusterId: config.clusterName,
    nodeId: config.nodeId,
    incarnation: randomUUID(),
  }
  let restored: Restored
  try {
    at('claimed')
    const part = join(data, PART)
    await copyFile(file, part)
    at('copied')
    restored = await fill(part, { ...options, identity, at })
    at('log begun')
    await saveIdentity(data, identity)
    at('identified')
  } catch (error) {
    await target.giveUp()
    throw error
  }
  await target.finish()
  return restored
}

async function check({ file, config }: RestoreOptions): Promise<void> {
  if (config.inMemory) {
    throw new RestoreRefusal('in_memory is set: there is no data directory to be filled')
  }
  const found = await stat(file).catch(() => null)
  if (found?.isFile() !== true) throw new RestoreRefusal(`${file}: there is no such file`)
  for (const directory of [config.raftDir, config.log.dir]) {
    if (!isInside(file, directory)) continue
    throw new RestoreRefusal(`${file} lies in ${directory}, which is to be filled: move it`)
  }
}

type Filling = Required<RestoreOptions> & { readonly identity: Identity }

async function fill(part: string, filling: Filling): Promise<Restored> {
  const { config, identity } = filling
  const configuration = encodeConfiguration(alone(config, identity))
  const machine = await openMachine(config, identity)
  let former: Former | null = null
  let header: SnapshotHeader
  try {
    const begin = (found: Former): Beginning => {
      const { clusterId, applied } = found
      former = { clusterId, applied: { index: applied.index, term: applied.term } }
      return { position: beginningOf(found, filling), configuration }
    }
    const { index, term } = await adopt(machine, part, begin)
    header = { position: { index, term }, configuration, ...(await described(part)) }
    filling.at('adopted')
    await machine.restore(part)
    await machine.checkpoint()
    assert(machine.durablePosition().index === index, 'what was restored is durable')
    filling.at('restored')
  } finally {
    await machine.close()
  }
  await beginLog(config.log.dir, identity, header)
  assert(former !== null, 'a backup says what it is of')
  return { identity, former, position: header.position }
}

type Machine = Pick<
  StateMachine<never, unknown>,
  'adopt' | 'restore' | 'checkpoint' | 'durablePosition' | 'close'
>

async function openMachine(
  { machine: name, raftDir }: Config,
  identity: Identity,
): Promise<Machine> {
  const { machine } = await chooseMachine(name, { directory: raftDir })
  await machine.open(identity)
  return machine
}

async function adopt(machine: Machine, part: string, begin: (former: Former) => Beginning) {
  if (machine.adopt === undefined) {
    throw new RestoreRefusal('this state machine cannot be restored from a backup')
  }
  // It has got past the page cache once it is adopted, but for what stayed as it was.
  await syncFile(part)
  try {
    return await machine.adopt(part, begin)
  } catch (error) {
    if (error instanceof RestoreRefusal) throw error
    const { cause } = error as Error
    if (cause instanceof RestoreRefusal) throw cause
    const words = error instanceof Error ? error.message : String(error)
    throw new RestoreRefusal(
      `not a whole backup of this state machine: ${words.replace(`${part}: `, '')}`,
    )
  }
}

function beginningOf(
  { clusterId, applied }: Former,
  { config, skipIndexes }: Filling,
): LogPosition {
  if (clusterId === config.clusterName) {
    throw new RestoreRefusal(
      `the backup is of a cluster ${clusterId}: give the new one another cluster_name, by which members of the former one are refused`,
    )
  }
  const index = asLogIndex(applied.index + 1 + skipIndexes)
  return { index, term: asTerm(applied.term + 1) }
}

/** The one voter that the new cluster begins with. */
function alone({ nodes, nodeId }: Config, { incarnation }: Identity): Configuration {
  const own = nodes.find(({ id }) => id === nodeId)
  assert(own !== undefined, 'a configuration lists its own node')
  return { members: [{ ...own, role: 'voter', incarnation }], outgoing: [] }
}

/** A log without entries, as after the install of a snapshot. */
async function beginLog(
  directory: string,
  identity: Identity,
  header: SnapshotHeader,
): Promise<void> {
  const log = new SegmentLogStore({ directory })
  await log.open(identity)
  try {
    const hardState = { term: header.position.term, vote: null, commit: asLogIndex(0) }
    await log.persist({ hardState, truncateFrom: null, entries: [], floor: asLogIndex(0) })
    await log.mark(header)
    await log.reset(header)
  } finally {
    await log.close()
  }
}

async function described(file: string): Promise<Pick<SnapshotHeader, 'id' | 'bytes' | 'sha256'>> {
  const { sums, sha256 } = await sumFile(systemDisk, file)
  return { id: `restored-${randomUUID()}`, bytes: sums.bytes, sha256 }
}
