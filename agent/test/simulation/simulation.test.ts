import t from 'tap'
import { STATES } from './coverage.ts'
import { Tally } from './tally.ts'
import { simulate } from './world.ts'

const FIXED = 100
const DRAWN = 50

t.test('every promise is kept on every seed, and every state that matters is reached', async t => {
  const first = FIXED + (Date.now() % 1_000_000_000)
  t.comment(`seeds 0 to ${FIXED - 1} and ${first} to ${first + DRAWN - 1}`)
  const reached = new Tally()
  for (let i = 0; i < FIXED + DRAWN; i++) {
    const outcome = simulate(i < FIXED ? i : first + i - FIXED)
    reached.merge(outcome.reached)
    if (outcome.violation !== null) {
      t.fail(`seed ${outcome.seed}: ${outcome.violation}`, {
        repeat: `npm run simulate -- --seeds 1 --seed ${outcome.seed}`,
      })
    }
  }
  t.strictSame(
    STATES.filter(state => reached.get(state) === 0),
    [],
    'states never reached',
  )
})

t.test('the same seed gives the same run', async t => {
  for (let seed = 0; seed < 5; seed++) t.equal(simulate(seed).hash, simulate(seed).hash)
  t.not(simulate(0).hash, simulate(1).hash)
})
