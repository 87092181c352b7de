import t from 'tap'
import { crashAt, FAULT_POINTS, parsePlannedCrash } from '../../src/node/fault-points.ts'

t.test('what is read is what was written', async t => {
  for (const point of FAULT_POINTS) {
    t.strictSame(parsePlannedCrash(`${point}:kill@3`), { point, at: 3 })
  }
  for (const wrong of [
    '',
    'persist:after',
    'persist:after:kill@0',
    'persist:after:kill@-1',
    'persist:after:kill@1.5',
    'persist:after:kill@1 ',
    'persist:after:stop@1',
    'persist:later:kill@1',
    'PERSIST:AFTER:kill@1',
    'constructor:kill@1',
  ]) {
    t.equal(parsePlannedCrash(wrong), null, wrong)
  }
})

t.test('it ends at that time, neither before nor elsewhere', async t => {
  let crashes = 0
  const reach = crashAt({ point: 'apply:after', at: 2 }, () => {
    crashes += 1
  })
  for (const point of FAULT_POINTS) reach(point)
  for (const point of FAULT_POINTS) if (point !== 'apply:after') reach(point)
  t.equal(crashes, 0)
  reach('apply:after')
  t.equal(crashes, 1)
})
