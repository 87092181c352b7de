import fc from 'fast-check'
import t from 'tap'
import { type CompactionInput, compactTo, type Follower } from '../../src/log/compaction-policy.ts'
import { asLogIndex } from '../../src/raft/types.ts'
import { seedOf } from './log-store.contract.ts'

const LIMITS = { trailing: 100, followerBytesMax: 1_000_000, threshold: 50 }

const follower = (match: number, parts: Partial<Follower> = {}): Follower => ({
  match: asLogIndex(match),
  isLive: true,
  behindBytes: 1000,
  ...parts,
})

function input(parts: {
  base?: number
  durable?: number
  followers?: readonly Follower[]
  sending?: number
}): CompactionInput {
  const { base = 0, durable = 1000, followers = [], sending } = parts
  return {
    base: asLogIndex(base),
    durable: asLogIndex(durable),
    followers,
    sending: sending === undefined ? null : asLogIndex(sending),
  }
}

for (const [story, given, expected] of [
  ['alone: all that is durable, less what trails', input({}), 900],
  ['a live follower holds it back', input({ followers: [follower(500), follower(990)] }), 400],
  ['one that is gone does not', input({ followers: [follower(5, { isLive: false })] }), 900],
  [
    'one that is too far behind gets a snapshot',
    input({ followers: [follower(5, { behindBytes: 1_000_001 }), follower(700)] }),
    600,
  ],
  [
    'exactly at the budget it is still fed from the log',
    input({ followers: [follower(300, { behindBytes: 1_000_000 })] }),
    200,
  ],
  ['what follows a snapshot on its way is kept', input({ sending: 600 }), 500],
  [
    'a follower ahead of what is durable here changes nothing',
    input({ followers: [follower(2000)] }),
    900,
  ],
  ['too little to go', input({ base: 851 }), null],
  ['just enough', input({ base: 850 }), 900],
  ['nothing is durable', input({ durable: 0 }), null],
  ['fewer than what trails', input({ durable: 99 }), null],
  ['a base ahead of a follower stays', input({ base: 600, followers: [follower(500)] }), null],
] as const) {
  t.test(story, async t => {
    t.equal(compactTo(given, LIMITS), expected)
  })
}

t.test('whatever the limits, never beyond what is durable, and always forward', async t => {
  const index = fc.nat(5000)
  const property = fc.property(
    fc.record({ base: index, durable: index, match: index, sending: index, isLive: fc.boolean() }),
    fc.record({ trailing: fc.nat(50), followerBytesMax: fc.nat(2000), threshold: fc.nat(20) }),
    ({ base, durable, match, sending, isLive }, limits) => {
      const followers = [follower(match, { isLive })]
      const found = compactTo(input({ base, durable, followers, sending }), limits)
      return found === null || (found <= durable && found <= sending && found > base)
    },
  )
  fc.assert(property, { seed: seedOf(t), numRuns: 1000 })
})
