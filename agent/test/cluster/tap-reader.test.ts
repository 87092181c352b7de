/** How `scripts/test` counts: a wrong count would hide every other fault. */

import t from 'tap'
import { TapReader, type TapTest } from '../../../scripts/lib/tap-reader.ts'

const TAP = `TAP version 14
# Subtest: sums
    ok 1 - should be equal
    # Subtest: inner
        not ok 1 - one is two
          ---
          diff: |
            not ok 9 - text of a diagnostic
          ...
        ok 2 - fine
        1..2
    not ok 2 - inner # time=62.8ms
      ---
      at: here
      ...
    ok 3 - later # SKIP why
    1..3
not ok 1 - sums # time=1.5s

# Subtest: no assertion
    1..0
ok 2 - no assertion # time=28.7ms

# Subtest: a plan that was not met
    ok 1 - first
    1..2
not ok 3 - a plan that was not met
ok 4 - not yet # TODO
ok 5 - top \\# level
1..5
# { total: 7, pass: 4 }`

t.test('leaves are counted, sums are not, and what failed is named', async t => {
  const tests: TapTest[] = []
  const reader = new TapReader(test => tests.push(test))
  for (const line of TAP.split('\n')) reader.line(line)
  t.strictSame(reader.counts, { passed: 5, failed: 2, skipped: 2 })
  t.strictSame(reader.failures, [
    {
      path: ['sums', 'inner', 'one is two'],
      diagnostics: ['          diff: |', '            not ok 9 - text of a diagnostic'],
    },
    { path: ['a plan that was not met'], diagnostics: [] },
  ])
  t.strictSame(tests.slice(0, 2), [
    { name: 'sums', ok: false, ms: 1500, passed: 2, failed: 1 },
    { name: 'no assertion', ok: true, ms: 28.7, passed: 1, failed: 0 },
  ])
  t.equal(tests.at(-1)?.name, 'top # level')
})

t.test('a bail-out is a failure', async t => {
  const reader = new TapReader(() => {})
  reader.line('Bail out! no disk')
  t.strictSame(reader.counts, { passed: 0, failed: 1, skipped: 0 })
})
