/** Text of any origin, fit to stand in a report: no line of it does anything but say something. */

const CHARACTERS_MAX = 200
const CUT = '…'
/** Controls, halves of characters that nothing can write, what turns the direction of reading, and what could not be read. */
const UNFIT =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{fffd}]/gu

/** What a terminal or an editor would act on is written out. */
export function printable(text: string): string {
  return text.replace(UNFIT, escaped)
}

/** @param max characters that stay; what follows them is left out */
export function oneLine(text: string, max = CHARACTERS_MAX): string {
  const whole = text.replace(/\s+/g, ' ').trim()
  const shown = [...whole.slice(0, 2 * max)].slice(0, max).join('')
  const cut = shown.length < whole.length ? CUT : ''
  return printable(shown) + cut
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
