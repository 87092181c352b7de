import t from 'tap'
import { endingOf, Tally } from '../../../scripts/faults/tally.ts'

/** Violations of a story. */
function of(story: (tally: Tally) => void): readonly string[] {
  const tally = new Tally()
  story(tally)
  return tally.violations
}

t.test('an answer says that it happened, that it did not, or nothing', async t => {
  for (const [status, ending] of [
    [200, 'acknowledged'],
    [421, 'refused'],
    [429, 'refused'],
    [503, 'refused'],
    [504, 'unknown'],
    [502, 'unknown'],
    [0, 'unknown'],
    [500, 'strange'],
    [404, 'strange'],
    [422, 'strange'],
  ] as const) {
    t.equal(endingOf(status), ending, `${status}`)
  }
})

t.test('what can be true is no violation', async t => {
  const tally = new Tally()
  const [first, lost, second, refused] = [
    tally.begin(),
    tally.begin(),
    tally.begin(),
    tally.begin(),
  ]
  tally.end(first, 200, 1)
  tally.end(lost, 504, null)
  tally.end(refused, 503, null)
  const read = tally.beginRead()
  tally.end(second, 200, 3)
  tally.read(read, 2)
  tally.endKey(tally.begin(), 'a', 4)
  tally.repeated('a', 4)
  tally.settle(4)
  t.strictSame(tally.violations, [])
  const { acknowledged, unknown, refused: refusals } = tally
  t.strictSame({ acknowledged, unknown, refusals }, { acknowledged: 3, unknown: 1, refusals: 1 })
})

t.test('each lie is noticed', async t => {
  const told = (tally: Tally, number: number) => tally.end(tally.begin(), 200, number)
  const lies: Readonly<Record<string, (tally: Tally) => void>> = {
    'two increments were told 1': tally => {
      const [first, second] = [tally.begin(), tally.begin()]
      tally.end(first, 200, 1)
      tally.end(second, 200, 1)
    },
    'told 1, and one that ended before it 2': tally => {
      const [late] = [tally.begin()]
      told(tally, 2)
      tally.end(late, 503, null)
      tally.begin()
      told(tally, 1)
    },
    'told 2, and 1 were sent': tally => {
      tally.end(tally.begin(), 503, null)
      told(tally, 2)
    },
    'without a number': tally => tally.end(tally.begin(), 200, null),
    'was answered 500': tally => tally.end(tally.begin(), 500, null),
    'showed 0 after somebody was told 1': tally => {
      told(tally, 1)
      tally.read(tally.beginRead(), 0)
    },
    'showed 1, and 0 were sent': tally => tally.read(tally.beginRead(), 1),
    'a read was answered without': tally => tally.read(tally.beginRead(), null),
    'answered 2, and at first 1': tally => {
      tally.endKey(tally.begin(), 'a', 1)
      tally.repeated('a', 2)
    },
    '1 acknowledged, 0 counted': tally => {
      told(tally, 1)
      tally.settle(0)
    },
    '2 counted of 1 acknowledged and 0 unknown': tally => {
      told(tally, 1)
      tally.settle(2)
    },
    '1 counted, and one was told 2': tally => {
      tally.end(tally.begin(), 0, null)
      told(tally, 2)
      tally.settle(1)
    },
  }
  for (const [text, lie] of Object.entries(lies)) {
    t.ok(
      of(lie).some(violation => violation.includes(text)),
      `${text}: ${of(lie)}`,
    )
  }
})
