import fc from 'fast-check'
import t from 'tap'
import { takeBatch } from '../../../njs/src/batch.ts'
import { MapDict } from '../../../njs/test/map-dict.ts'
import type { Answer } from '../../src/gateway/edge-client.ts'
import { EdgeFiller } from '../../src/gateway/edge-filler.ts'
import type { EdgeSource } from '../../src/gateway/edge-source.ts'
import { ChangeFeed } from '../../src/machine/kv/change-feed.ts'
import { ManualClock } from '../node/manual-clock.ts'

/** Two pauses between batches, and the batch that was under way. */
const SOON_MS = 5 + 5 + 1

interface Rig {
  readonly clock: ManualClock
  readonly filler: EdgeFiller
  /** the next post finds its connection closed */
  breakNext(): void
  /** an entry is applied; @param changes whether it changes a key */
  apply(changes: boolean): void
  /** so many ms, one by one, with all that follows from each */
  pass(ms: number): Promise<void>
  /** what nginx's memory shows */
  shown(): number | null
  applied(): number
}

/** Each post takes 1 ms. */
function rig(): Rig {
  const clock = new ManualClock()
  const dict = new MapDict()
  const feed = new ChangeFeed()
  let broken = false
  const post = async (body: string): Promise<Answer> => {
    await new Promise<void>(resolve => clock.after(1, resolve))
    if (broken) {
      broken = false
      return { kind: 'unreachable', why: 'the connection was closed' }
    }
    const verdict = takeBatch(dict, JSON.parse(body), () => 0)
    return { kind: 'answer', status: verdict.status, body: JSON.stringify(verdict) }
  }
  const source: EdgeSource = {
    open: () => ({ version: 0, open: null }),
    since: () => feed.since,
    last: () => feed.last,
    read: after => feed.read(after, Number.MAX_SAFE_INTEGER),
    listen: moved => feed.follow(moved),
    page: async () => [],
    stalenessMs: () => 0,
    serves: () => true,
  }
  const logger = { info() {}, warn() {}, error() {} }
  const sender = { epoch: 'e', node: 'node0', only: [] }
  const filler = new EdgeFiller({ sender, source, post, clock, logger })
  filler.start()
  return {
    clock,
    filler,
    breakNext: () => {
      broken = true
    },
    apply: changes => {
      const index = feed.last + 1
      const change = {
        key: Buffer.from('a'),
        value: Buffer.from(String(index)),
        flags: 0n,
        row: null,
      }
      const entry = { index, changes: [change], lifetimes: [], sessions: false }
      if (changes) feed.add(entry)
      feed.publish(index)
    },
    pass: async ms => {
      for (let at = 0; at < ms; at++) {
        clock.advance(1)
        for (let turns = 0; turns < 4; turns++) await new Promise(setImmediate)
      }
    },
    shown: () => filler.status().index,
    applied: () => feed.last,
  }
}

async function ended({ filler, pass }: Rig): Promise<void> {
  const stopping = filler.stop()
  await pass(300)
  await stopping
}

t.test(
  'whenever an entry is applied, nginx has it soon, also one that changes nothing',
  async t => {
    const step = fc.record({ restMs: fc.nat({ max: 40 }), changes: fc.boolean() })
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      async steps => {
        const made = rig()
        await made.pass(40)
        for (const { restMs, changes } of steps) {
          await made.pass(restMs)
          made.apply(changes)
        }
        await made.pass(SOON_MS)
        const seen = made.shown()
        await ended(made)
        return seen === made.applied()
      },
    )
    await fc.assert(property, { numRuns: 40 })
    t.pass('in 40 runs')
  },
)

t.test('a connection that nginx closed in a reload costs two tries, no heartbeat', async t => {
  const made = rig()
  made.apply(true)
  await made.pass(40)
  made.breakNext()
  made.apply(true)
  await made.pass(4 * SOON_MS)
  t.equal(made.shown(), 2)
  t.match(made.filler.status(), { state: 'following', copies: 1 })
  await ended(made)
})
