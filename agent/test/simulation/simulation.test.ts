import t from 'tap'
import { simulate } from './world.ts'

// Many more, and the states they must reach, are in seeds.process.ts.
const SEEDS = 100

t.test('every promise is kept on the first seeds', async t => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const { violation } = simulate(seed)
    t.equal(violation, null, `npm run simulate -- --seeds 1 --seed ${seed}`)
  }
})

t.test('the same seed gives the same run', async t => {
  for (let seed = 0; seed < 20; seed++) t.equal(simulate(seed).hash, simulate(seed).hash)
  t.not(simulate(0).hash, simulate(1).hash)
})
