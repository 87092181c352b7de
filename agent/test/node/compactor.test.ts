import t, { type Test } from 'tap'
import { MemoryLogStore } from '../../src/log/memory-log-store.ts'
import {
  type CompactionSettings,
  Compactor,
  type CompactorOptions,
} from '../../src/node/compactor.ts'
import type { Input } from '../../src/raft/input.ts'
import { Progress } from '../../src/raft/progress.ts'
import type { Role, State } from '../../src/raft/state.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type LogIndex,
  type LogPosition,
  ORIGIN,
} from '../../src/raft/types.ts'
import { batchOf, entriesBetween, hardState, IDENTITY } from '../log/log-model.ts'

const LAST = 1_000
const PEER = asNodeId('n2')
const SETTINGS = { enabled: true, intervalMs: 100, threshold: 50, trailing: 20 }
const at = (index: number): LogPosition => ({ index: asLogIndex(index), term: asTerm(1) })
const nothing = () => {}

interface Story {
  readonly storage?: 'durable' | 'memory'
  /** of the machine, after a checkpoint */
  readonly durable?: number
  /** as the core knows it */
  readonly applied?: number
  /** of the one other member, of a leader */
  readonly match?: number
  readonly peer?: Progress['state']
  readonly connected?: boolean
  readonly sending?: number
  readonly settings?: Partial<CompactionSettings>
  readonly state?: Partial<State>
}

/** A log of 1,000 entries, all applied; the rest is as the story says. */
async function compactorOf(t: Test, story: Story) {
  const log = new MemoryLogStore()
  await log.open(IDENTITY)
  const entries = entriesBetween({ first: 1, last: LAST }, 1)
  await log.persist(batchOf({ entries, hardState: hardState(1, null, LAST) }))
  t.teardown(() => log.close())
  const posted: { readonly input: Input; readonly base: LogIndex }[] = []
  const failures: unknown[] = []
  let built = 0
  const parts = {
    log,
    machine: {
      storage: story.storage ?? 'durable',
      checkpoint: async () => at(story.durable ?? LAST),
      applied: () => ({
        ...at(LAST),
        configuration: new Uint8Array(0),
        chainHash: new Uint8Array(32),
      }),
    },
    store: { newest: () => (built === 0 ? null : { header: { position: at(LAST) } }) },
    builder: {
      build: async () => {
        built++
        return { header: { position: at(LAST) } }
      },
    },
    transport: { links: () => [{ peer: PEER, connected: story.connected ?? true }] },
    settings: { ...SETTINGS, ...story.settings },
    logger: { info: nothing, warn: nothing, error: nothing },
    reach: nothing,
    loop: {
      state: () => stateOf(story),
      post: (input: Input) => posted.push({ input, base: log.state().base.index }),
      fail: (error: unknown) => failures.push(error),
    },
    sending: () => (story.sending === undefined ? null : asLogIndex(story.sending)),
  }
  const compactor = new Compactor(parts as unknown as CompactorOptions)
  return { compactor, log, posted, failures, parts, built: () => built }
}

function stateOf(story: Story): State {
  const state = {
    role: roleOf(story),
    applied: asLogIndex(story.applied ?? LAST),
    install: null,
    needsSnapshot: false,
    standsAside: false,
    ...story.state,
  }
  return state as State
}

function roleOf({ match, peer }: Story): Role {
  if (match === undefined) return { kind: 'follower' }
  const progress = new Progress(asLogIndex(match + 1))
  progress.match = asLogIndex(match)
  progress.state = peer ?? 'replicate'
  const leader = { uncommitted: [], uncommittedBytes: 0, pendingConfIndex: asLogIndex(0) }
  return { kind: 'leader', progress: new Map([[PEER, progress]]), transfer: null, ...leader }
}

const STORIES: readonly (readonly [string, Story, number])[] = [
  ['all but the trailing entries go', {}, LAST - 20],
  ['what power loss could take from the machine stays', { durable: 300 }, 280],
  ['what the core has not heard of as applied stays', { applied: 400 }, 380],
  ['a live follower that lags is waited for', { match: 500 }, 480],
  ['one that is not connected is not', { match: 500, connected: false }, LAST - 20],
  ['the log behind a snapshot on its way stays', { sending: 600 }, 580],
  ['below the threshold nothing goes', { durable: 69 }, 0],
  ['a new leader waits until it knows where a follower stands', { match: 0, peer: 'probe' }, 0],
  ['a machine in memory is stored first', { storage: 'memory' }, LAST - 20],
  ['switched off', { settings: { enabled: false } }, 0],
  ['while a snapshot is needed all stays', { state: { needsSnapshot: true } }, 0],
  ['so it does in quarantine', { state: { standsAside: true } }, 0],
]

for (const [story, given, expected] of STORIES) {
  t.test(story, async t => {
    const { compactor, log, posted, failures, built } = await compactorOf(t, given)
    compactor.tick(0)
    compactor.tick(99)
    await compactor.idle()
    t.strictSame(posted, [], 'not before the interval is over')
    compactor.tick(100)
    await compactor.idle()
    t.equal(log.state().base.index, expected)
    const told =
      expected === 0
        ? []
        : [{ input: { kind: 'compacted', base: at(expected) }, base: ORIGIN.index }]
    t.strictSame(posted, told, 'the core is told before it happens')
    t.equal(compactor.compactions, told.length)
    t.equal(built(), given.storage === 'memory' ? 1 : 0)
    t.strictSame(failures, [])
  })
}

t.test('a peer that waits for a snapshot holds nothing back', async t => {
  const { compactor, log, parts } = await compactorOf(t, {})
  await log.compact(at(100))
  Object.assign(parts.loop, { state: () => stateOf({ match: 50, peer: 'snapshot' }) })
  compactor.tick(0)
  compactor.tick(100)
  await compactor.idle()
  t.equal(log.state().base.index, LAST - 20)
})

t.test('64 MiB of commands make a look due at once', async t => {
  const { compactor, log } = await compactorOf(t, {})
  compactor.tick(0)
  compactor.applied(64 * 2 ** 20)
  compactor.tick(1)
  await compactor.idle()
  t.equal(log.state().base.index, LAST - 20)
})

t.test('one look at a time; an install that comes meanwhile ends it', async t => {
  const { compactor, log, parts, posted } = await compactorOf(t, {})
  let checkpoints = 0
  let end = (_: LogPosition) => {}
  parts.machine.checkpoint = () => {
    checkpoints++
    return new Promise(resolve => {
      end = resolve
    })
  }
  compactor.tick(0)
  compactor.tick(100)
  compactor.tick(300)
  t.equal(checkpoints, 1)
  const install = { header: null, whenInstalled: [], begun: false } as unknown as State['install']
  Object.assign(parts.loop, { state: () => stateOf({ state: { install } }) })
  end(at(LAST))
  await compactor.idle()
  t.strictSame(posted, [])
  t.equal(log.state().base.index, 0)
})

t.test('a checkpoint that fails stops the node; a snapshot without room does not', async t => {
  const durable = await compactorOf(t, {})
  durable.parts.machine.checkpoint = () => Promise.reject(new Error('EIO'))
  durable.compactor.tick(0)
  durable.compactor.tick(100)
  await durable.compactor.idle()
  t.match(durable.failures, [{ message: 'EIO' }])
  const memory = await compactorOf(t, { storage: 'memory' })
  memory.parts.builder.build = () => Promise.reject(new Error('no room'))
  memory.compactor.tick(0)
  memory.compactor.tick(100)
  await memory.compactor.idle()
  t.strictSame(memory.failures, [])
  t.equal(memory.log.state().base.index, 0)
})
