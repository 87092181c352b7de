import t from 'tap'
import { Calm } from '../../../scripts/faults/mixed/calm.ts'

t.test('how long nobody leads counts while nothing is wrong, and only then', async t => {
  let now = 1_000
  let leads = false
  const calm = new Calm(
    async () => leads,
    () => now,
  )
  const look = async (isCalm: boolean, ms: number) => {
    now += ms
    await calm.look(isCalm)
    return calm.longestMs
  }
  t.equal(await look(false, 9_000), 0)
  t.equal(await look(true, 9_000), 0, 'from here on')
  t.equal(await look(true, 400), 0)
  leads = true
  t.equal(await look(true, 100), 500, 'somebody is found')
  leads = false
  t.equal(
    await look(true, 9_000),
    500,
    'once is enough: what follows is no election of a quiet time',
  )
  await look(false, 9_000)
  leads = true
  t.equal(await look(true, 9_000), 500, 'found at once')
  await look(false, 9_000)
  leads = false
  await look(true, 9_000)
  t.equal(await look(false, 700), 700, 'nobody was found before it was over')
})
