import t from 'tap'
import { oneLine, printable } from '../../../scripts/lib/one-line.ts'

t.test('what failed is told in one line, whatever it says', async t => {
  t.equal(oneLine('node0 ended:\n  stopped:\t\tEIO\r\n'), 'node0 ended: stopped: EIO')
  t.equal(oneLine('byte 7: \u0000\u001b[2J\u0085\u2028x'), 'byte 7: \\u{0}\\u{1b}[2J\\u{85} x')
  t.equal(oneLine('\u202etxt \ufffd \ud800'), '\\u{202e}txt \\u{fffd} \\u{d800}')
  t.equal(oneLine('größer 🙂'), 'größer 🙂', 'letters stay')
})

t.test('and is not too long', async t => {
  t.equal(oneLine('x'.repeat(200)), 'x'.repeat(200))
  t.equal(oneLine('x'.repeat(201)), `${'x'.repeat(200)}…`)
  t.equal(oneLine('🙂🙂🙂', 2), '🙂🙂…', 'no character is halved')
})

t.test('a line of a diagnostic keeps its blanks', async t => {
  t.equal(printable('    at:  \u0007here'), '    at:  \\u{7}here')
})
