/** A node whose three entries are committed and applied, as another leader may meet it. */
import { join } from 'node:path'
import { SystemClock } from '../../../src/clock/system-clock.ts'
import { SegmentLogStore } from '../../../src/log/segment-log-store.ts'
import { SnapshotStore } from '../../../src/log/snapshot-store.ts'
import { encodeCommand } from '../../../src/machine/kv/command.ts'
import { KvMachine } from '../../../src/machine/kv/kv-machine.ts'
import { encodeEnvelope } from '../../../src/node/envelope.ts'
import { RaftNode } from '../../../src/node/node.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type Entry,
  type LogPosition,
  type NodeId,
  ORIGIN,
} from '../../../src/raft/types.ts'
import { MemoryNetwork } from '../../../src/transport/memory-transport.ts'
import { Recorder } from '../../transport/harness.ts'
import { eventually } from '../in-process-cluster.ts'

export interface End {
  /** Why the node stopped; null: it went on. */
  readonly stopped: string | null
  /** Why it did not start again; null: it did. */
  readonly refused: string | null
  /** Of the entries on disk. */
  readonly terms: readonly number[]
  /** What the machine holds under the key that both histories write. */
  readonly value: string
}

export interface Reign {
  readonly leader: NodeId
  readonly term: number
  /** what its entries write */
  readonly value: string
  readonly prev: LogPosition
}

export const NAMES = ['a', 'b', 'c'] as const
export const SELF = asNodeId('a')
const KEY = Buffer.from('k')
const LAST = asLogIndex(3)
export const IDENTITY = { clusterId: 'test', nodeId: SELF, incarnation: 'a-1' }
const silent = { info: () => {}, warn: () => {}, error: () => {} }

const directory = process.argv[2] ?? ''
const openLog = () => new SegmentLogStore({ directory: join(directory, 'log') })
const openMachine = () => new KvMachine({ file: join(directory, 'kv.sqlite') })

function nodeOn(network: MemoryNetwork, fatal: unknown[]) {
  return new RaftNode({
    identity: IDENTITY,
    contact: contactOf('a'),
    founders: NAMES.map(contactOf),
    log: openLog(),
    machine: openMachine(),
    snapshots: {
      store: new SnapshotStore({ directory: join(directory, 'snapshots'), retain: 1 }),
      ...{ enabled: false, intervalMs: 1_000, threshold: 1, trailing: 0 },
    },
    transport: network.transport({ ...contactOf('a'), incarnation: 'a-1' }),
    clock: new SystemClock(),
    logger: silent,
    seed: 1,
    // In this story it does not campaign.
    electionTimeoutMs: 600_000,
    heartbeatIntervalMs: 1_000,
    commitTimeoutMs: 1_000,
    checkIntervalMs: 0,
    onFatal: error => fatal.push(error),
  })
}

/** The node holds its three entries; then `meet` brings it another history. What has become of it. */
export async function story(
  meet: (network: MemoryNetwork, fatal: readonly unknown[]) => Promise<void>,
): Promise<End> {
  const network = new MemoryNetwork()
  const fatal: unknown[] = []
  const node = nodeOn(network, fatal)
  await node.start()
  await reign(network, fatal, { leader: asNodeId('b'), term: 1, value: 'old', prev: ORIGIN })
  await eventually('all is applied', () => node.status().appliedIndex === LAST || undefined)
  await meet(network, fatal)
  await eventually('an end', async () => fatal.length > 0 || (await isNew(node)) || undefined)
  await node.stop()
  const stopped = fatal.length > 0 ? String(fatal[0]) : null
  return { stopped, refused: await startAgain(), ...(await onDisk()) }
}

/** Sends the whole history, and says that it is committed; until the node has acknowledged it or stopped. */
export async function reign(
  network: MemoryNetwork,
  fatal: readonly unknown[],
  its: Reign,
): Promise<void> {
  const { leader, term, prev } = its
  const recorder = new Recorder()
  const transport = network.transport({ ...contactOf(leader), incarnation: `${leader}-1` })
  await transport.start(recorder)
  const members = NAMES.map(name => ({ ...contactOf(name), incarnation: '' }))
  transport.setMembership({ members, open: false })
  const envelope = { from: leader, to: SELF, term: asTerm(term) }
  const entries = entriesOf(its)
  transport.send([{ kind: 'append-entries', ...envelope, prev, entries, commit: LAST }])
  const answered = () =>
    recorder.messages.some(each => each.kind === 'append-entries-reply' && each.term === term)
  await eventually('an answer', () => fatal.length > 0 || answered() || undefined)
  await transport.close()
}

/** The first entry is a no-op, the others write. */
export function entriesOf({ term, value, prev }: Reign): Entry[] {
  const pairs = [{ key: KEY, value: Buffer.from(value) }]
  const command = encodeCommand({ kind: 'set', pairs })
  const payload = encodeEnvelope({ timeMs: 0, idempotency: null, command })
  const noOp = { kind: 'no-op', payload: new Uint8Array(0) } as const
  return Array.from({ length: LAST - prev.index }, (_, at) => {
    const index = asLogIndex(prev.index + at + 1)
    const content = index === 1 ? noOp : ({ kind: 'command', payload } as const)
    return { index, term: asTerm(term), ...content }
  })
}

async function isNew(node: ReturnType<typeof nodeOn>): Promise<boolean> {
  const answer = await node.query({ kind: 'get', key: KEY })
  return textOf(answer) === 'new'
}

/** Why not; null: it has. */
async function startAgain(): Promise<string | null> {
  const node = nodeOn(new MemoryNetwork(), [])
  try {
    await node.start()
    return null
  } catch (error) {
    return String(error)
  } finally {
    await node.stop()
  }
}

async function onDisk(): Promise<Pick<End, 'terms' | 'value'>> {
  const log = openLog()
  const { base, last } = await log.open(IDENTITY)
  const first = asLogIndex(base.index + 1)
  const entries =
    base.index < last.index ? await log.read(first, last.index, Number.MAX_SAFE_INTEGER) : []
  await log.close()
  const machine = openMachine()
  await machine.open(IDENTITY)
  const value = textOf(await machine.query({ kind: 'get', key: KEY }))
  await machine.close()
  return { terms: entries.map(({ term }) => term), value }
}

function textOf(answer: Awaited<ReturnType<KvMachine['query']>>): string {
  return answer.kind === 'get' ? Buffer.from(answer.row?.value ?? '').toString() : ''
}

export function contactOf(name: string) {
  return { id: asNodeId(name), address: `${name}:1`, raftBind: `${name}:2`, gateway: null }
}
