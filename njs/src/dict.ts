/**
 * The replicated store in nginx's shared memory: what its rows look like, and how one is read so that it can be
 * trusted. Pure, over the part of a shared dict that it needs.
 *
 * One zone holds everything, so that what loses the data loses the watermark too:
 *   `\0wm`            the watermark: which state of the store the rows are, and how old that knowledge is. Its first
 *                     line has what readers need at places that are known, since JSON would cost them more than all
 *                     the rest; its second what only the filler asks for, as JSON:
 *                     `4R 000000000012345 001767225600000 node0 prefix,prefix *`: format and state, index, knownAt, …
 *   `k` + spelling    a key's value: `u`, a line that tells more of the key (consul-row.ts), and its text;
 *                     or `b`, that line, and base64 where it is no UTF-8
 */

import type { Open } from './acl.ts'

/** The part of nginx's shared dict that is used. */
export interface Dict {
  get(key: string): string | undefined
  set(key: string, value: string): unknown
  delete(key: string): boolean
  clear(): void
  freeSpace(): number
  /** bytes of the zone */
  readonly capacity: number
}

/** Of these rows, this watermark and these batches. Another format is not read. */
export const FORMAT = 4
export const WATERMARK = '\0wm'
export const ROW = 'k'

export interface Watermark {
  readonly format: number
  /** names one history of the store; indexes of two histories have nothing to do with each other */
  readonly epoch: string
  /** whose agent fills the zone */
  readonly node: string
  /** spellings that keys begin with, where only some are here; empty: all keys are */
  readonly only: readonly string[]
  /** to whom rows may be shown */
  readonly open: Open
  /** the rows are the store as of this entry … */
  readonly index: number
  /** … unless they are being changed into this one */
  readonly next: number
  /** false while a full copy is under way */
  readonly whole: boolean
  /** of the copy under way: which attempt, and how many of its batches have come */
  readonly copy: string
  readonly part: number
  /** the cluster had committed nothing beyond `index` by then; Unix ms, by this machine's clock */
  readonly knownAt: number
}

/** What a reader needs of the rows. */
export interface Need {
  readonly maxAgeMs: number
  readonly minIndex: number
  /** Unix ms */
  readonly now: number
}

export interface Found {
  readonly node: string
  readonly index: number
  readonly ageMs: number
  /** as of that entry */
  readonly open: Open
  /** the stored form; undefined: there is no such key */
  readonly row: string | undefined
}

/** What the rows are: the store as of `index`; on their way to `next`; a part of a copy. */
const READY = `${FORMAT}R`
const CHANGING = `${FORMAT}C`
const COPYING = `${FORMAT}F`
const DIGITS = '000000000000000'
/** Where in the first line they begin and end. */
const INDEX_AT = 3
const INDEX_END = 18
const KNOWN_AT = 19
const KNOWN_END = 34
const WORDS_AT = 35

export function writeWatermark(mark: Watermark): string {
  const state = !mark.whole ? COPYING : mark.index === mark.next ? READY : CHANGING
  const rest = { epoch: mark.epoch, next: mark.next, copy: mark.copy, part: mark.part }
  const numbers = `${digits(mark.index)} ${digits(mark.knownAt)}`
  const words = `${mark.node} ${mark.only.join(',')} ${openWord(mark.open)}`
  return `${state} ${numbers} ${words}\n${JSON.stringify(rest)}`
}

function digits(number: number): string {
  const text = String(number)
  return DIGITS.slice(text.length) + text
}

/** Null where there is none that can be used. */
export function readWatermark(text: string | undefined): Watermark | null {
  if (text === undefined) return null
  const whole = isWhole(text)
  if (!whole && stateOf(text) !== COPYING) return null
  const rest = JSON.parse(text.slice(text.indexOf('\n'))) as Watermark
  const words = wordsOf(text)
  return {
    format: FORMAT,
    epoch: rest.epoch,
    node: words[0],
    only: onlyIn(words[1]),
    open: openIn(words[2]),
    index: indexOf(text),
    next: rest.next,
    whole: whole,
    copy: rest.copy,
    part: rest.part,
    knownAt: knownAtOf(text),
  }
}

/** Whether the rows are all there, be it on their way from one entry to the next. */
export function isWhole(text: string | undefined): text is string {
  if (text === undefined) return false
  const state = stateOf(text)
  return state === READY || state === CHANGING
}

/** Whether the rows are the store as of the entry that is said. */
export function isReady(text: string | undefined): text is string {
  return text !== undefined && stateOf(text) === READY
}

function stateOf(text: string): string {
  return text.slice(0, 2)
}

export function indexOf(text: string): number {
  return Number(text.slice(INDEX_AT, INDEX_END))
}

export function knownAtOf(text: string): number {
  return Number(text.slice(KNOWN_AT, KNOWN_END))
}

/** The end of the first line: node, prefixes of keys that are kept, prefixes of keys that may be shown. */
function wordsOf(text: string): [string, string, string] {
  return text.slice(WORDS_AT, text.indexOf('\n')).split(' ') as [string, string, string]
}

function onlyIn(word: string): string[] {
  return word === '' ? [] : word.split(',')
}

/** `*`: all may be; else `+prefix` that may, `-prefix` that may not. */
function openIn(word: string): Open {
  if (word === '*') return null
  return onlyIn(word).map(rule => [rule.slice(1), rule.charAt(0) === '+'] as const)
}

function openWord(open: Open): string {
  if (open === null) return '*'
  return open.map(rule => (rule[1] ? '+' : '-') + rule[0]).join(',')
}

function isKept(spelling: string, word: string): boolean {
  return word === '' || onlyIn(word).some(prefix => spelling.indexOf(prefix) === 0)
}

/**
 * What the store held for a key as of one known entry, or null: then the agent has to be asked. The row is read between
 * two equal watermarks (a seqlock): nothing has changed in between.
 * @param spelling of the key, see `canonical`
 */
export function exact(dict: Dict, spelling: string, need: Need): Found | null {
  for (let tries = 0; tries < 3; tries++) {
    const before = dict.get(WATERMARK)
    if (before === undefined) return null
    const row = dict.get(ROW + spelling)
    // A heartbeat came between: as good as any other moment.
    if (dict.get(WATERMARK) === before) return judge(before, spelling, row, need)
  }
  return null
}

function judge(mark: string, spelling: string, row: string | undefined, need: Need): Found | null {
  if (stateOf(mark) !== READY) return null
  const index = indexOf(mark)
  const ageMs = need.now - knownAtOf(mark)
  // Below zero the clock was set back: the age is not known.
  if (index < need.minIndex || !(ageMs >= 0 && ageMs <= need.maxAgeMs)) return null
  const words = wordsOf(mark)
  if (!isKept(spelling, words[1])) return null
  return { node: words[0], index: index, ageMs: ageMs, open: openIn(words[2]), row: row }
}

/**
 * Whether a key of this spelling would be here, if there were one.
 * @param mark watermark as it is stored
 */
export function covers(mark: string, spelling: string): boolean {
  return isKept(spelling, wordsOf(mark)[1])
}

/**
 * One spelling for each key: all bytes but A-Z a-z 0-9 - . _ ~ as upper-case %XX. Else `a%2fb` would miss what was
 * written as `a%2Fb`. The agent spells in the same way.
 * @param raw well-formed and printable, as `$request_uri` has it after the guard
 */
export function canonical(raw: string): string {
  if (/^[A-Za-z0-9._~-]*$/.test(raw)) return raw
  return raw.replace(/%[0-9A-Fa-f][0-9A-Fa-f]|[^A-Za-z0-9._~-]/g, piece => {
    const code = piece.length === 3 ? Number.parseInt(piece.slice(1), 16) : piece.charCodeAt(0)
    const plain = String.fromCharCode(code)
    if (/[A-Za-z0-9._~-]/.test(plain)) return plain
    return `%${code < 16 ? '0' : ''}${code.toString(16).toUpperCase()}`
  })
}

/** The text of a stored row; undefined when the value is no text. */
export function textOf(row: string): string | undefined {
  return row.charAt(0) === 'u' ? row.slice(row.indexOf('\n') + 1) : undefined
}
