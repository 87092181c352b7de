import t from 'tap'
import { NO_KEY, percentile, Tally } from '../../../scripts/benchmark/tally.ts'

t.test('every key is given once, whatever the order', async t => {
  const tally = new Tally(10, 10)
  const keys = Array.from({ length: 10 }, () => tally.next())
  t.same([...keys].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.equal(tally.next(), NO_KEY)
})

t.test('only what was answered while measuring counts; errors always do', async t => {
  const tally = new Tally(10, Number.POSITIVE_INFINITY)
  tally.next()
  tally.succeeded(tally.startedAtMs)
  tally.measure()
  tally.next()
  tally.succeeded(performance.now() - 5)
  tally.next()
  tally.failed('status 503')
  t.equal(tally.operations, 1)
  t.ok(percentile(tally.sortedLatenciesMs(), 0.99) >= 5)
  t.equal(tally.errors, 1)
  t.equal(tally.firstError, 'status 503')
})

t.test('a paced request counts from when it was due, not from when a loop was free', async t => {
  const tally = new Tally(10, Number.POSITIVE_INFINITY)
  tally.pace(1_000)
  const woken = new Promise<void>(resolve => {
    tally.park({ wake: resolve })
  })
  t.not(tally.next(), NO_KEY, 'the first is due at once')
  const first = tally.startedAtMs
  await woken
  while (performance.now() < first + 5) await woken
  t.not(tally.next(), NO_KEY)
  const second = tally.startedAtMs
  t.ok(Math.abs(second - first - 1) < 1e-6, 'the second was due a millisecond after it')
  tally.stop()
  t.equal(tally.next(), NO_KEY)
})

t.test('what is not due yet is not given', async t => {
  const tally = new Tally(10, Number.POSITIVE_INFINITY)
  tally.pace(0.001)
  t.not(tally.next(), NO_KEY)
  t.equal(tally.next(), NO_KEY)
  tally.stop()
})

t.test('the longest time without an answer counts to the end', async t => {
  const tally = new Tally(10, Number.POSITIVE_INFINITY)
  const waitFor = (ms: number) => {
    const until = performance.now() + ms
    while (performance.now() < until);
  }
  tally.measure()
  tally.next()
  waitFor(2)
  tally.succeeded(performance.now())
  tally.next()
  waitFor(5)
  tally.stop()
  t.ok(tally.gapMs >= 5 && tally.gapMs < 1_000)
  tally.succeeded(performance.now())
  t.ok(tally.operations === 1, 'what is answered after the end does not count')
})
