import t from 'tap'
import type { Result } from '../../src/machine/state-machine.ts'
import type { Outcome } from '../../src/node/outcome.ts'
import { Pending } from '../../src/node/pending.ts'
import { asLogIndex, asTerm } from '../../src/raft/types.ts'

const at = (index: number, term: number) => ({ index: asLogIndex(index), term: asTerm(term) })
const committed = (index: number, term: number) => ({ position: at(index, term), command: null })
const done: Result = { kind: 'done', value: null }

function pendingWith(...positions: [index: number, term: number][]) {
  const outcomes: (Outcome | null)[] = positions.map(() => null)
  const pending = new Pending(() => ({ kind: 'not-leader', leader: null }))
  positions.forEach(([index, term], which) => {
    pending.add(at(index, term), 100 + which, outcome => {
      t.equal(outcomes[which], null, 'settled once')
      outcomes[which] = outcome
    })
  })
  return { pending, outcomes }
}

t.test('an entry applied at its own position settles as applied', async t => {
  const { pending, outcomes } = pendingWith([5, 2], [6, 2])
  pending.applied([committed(4, 1), committed(5, 2)], [done, done])
  t.strictSame(outcomes, [{ kind: 'applied', position: at(5, 2), result: done }, null])
})

t.test('an entry of another term at the index says: surely not', async t => {
  const { pending, outcomes } = pendingWith([5, 2])
  pending.applied([committed(5, 3)], [done])
  t.strictSame(outcomes, [{ kind: 'not-leader', leader: null }])
})

t.test('the same index proposed in two terms settles each by its own term', async t => {
  const { pending, outcomes } = pendingWith([5, 2], [5, 4])
  pending.applied([committed(5, 4)], [done])
  t.strictSame(outcomes, [
    { kind: 'not-leader', leader: null },
    { kind: 'applied', position: at(5, 4), result: done },
  ])
})

t.test('past its deadline the fate is unknown, and is not settled again', async t => {
  const { pending, outcomes } = pendingWith([5, 2], [6, 2])
  pending.expire(100)
  t.strictSame(outcomes, [{ kind: 'unknown' }, null])
  pending.applied([committed(5, 2)], [done])
  pending.abandon()
  t.strictSame(outcomes, [{ kind: 'unknown' }, { kind: 'unknown' }])
  t.equal(pending.size, 0)
})
