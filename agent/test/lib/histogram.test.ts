import fc from 'fast-check'
import t from 'tap'
import { Histogram, SECONDS } from '../../src/lib/histogram.ts'

t.test('bounds are inclusive, counts hold those below, the last one holds all', async t => {
  const histogram = new Histogram([1, 5])
  for (const value of [0.5, 1, 1.5, 5, 7]) histogram.observe(value)
  t.strictSame(histogram.view(), {
    buckets: [
      { upTo: 1, count: 2 },
      { upTo: 5, count: 4 },
      { upTo: Number.POSITIVE_INFINITY, count: 5 },
    ],
    sum: 15,
  })
})

t.test('each bucket holds exactly the values up to its bound', async () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 20, noNaN: true })), values => {
      const histogram = new Histogram()
      for (const value of values) histogram.observe(value)
      const expected = [...SECONDS, Number.POSITIVE_INFINITY].map(upTo => ({
        upTo,
        count: values.filter(value => value <= upTo).length,
      }))
      return JSON.stringify(histogram.view().buckets) === JSON.stringify(expected)
    }),
  )
})
