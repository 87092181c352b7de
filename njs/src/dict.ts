/**
 * The replicated store in nginx's shared memory: what its rows look like, and how one is read so that it can be
 * trusted. Pure, over the part of a shared dict that it needs.
 *
 * One zone holds everything, so that what loses the data loses the watermark too:
 *   `\0wm`            the watermark: which state of the store the rows are, and how old that knowledge is
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
export const FORMAT = 3
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

/** Null where there is none that can be used. */
export function readWatermark(text: string | undefined): Watermark | null {
  if (text === undefined) return null
  const value = JSON.parse(text) as Watermark
  return value.format === FORMAT ? value : null
}

/**
 * What the store held for a key as of one known entry, or null: then the agent has to be asked. The row is read between
 * two equal watermarks (a seqlock): nothing has changed in between.
 * @param spelling of the key, see `canonical`
 */
export function exact(dict: Dict, spelling: string, need: Need): Found | null {
  for (let tries = 0; tries < 3; tries++) {
    const before = dict.get(WATERMARK)
    const row = dict.get(ROW + spelling)
    // A heartbeat came between: as good as any other moment.
    if (dict.get(WATERMARK) !== before) continue
    const mark = readWatermark(before)
    return mark === null ? null : judge(mark, { spelling: spelling, row: row }, need)
  }
  return null
}

function judge(
  mark: Watermark,
  read: { readonly spelling: string; readonly row: string | undefined },
  need: Need,
): Found | null {
  if (!mark.whole || mark.index !== mark.next || mark.index < need.minIndex) return null
  const ageMs = need.now - mark.knownAt
  // Below zero the clock was set back: the age is not known.
  if (!(ageMs >= 0 && ageMs <= need.maxAgeMs)) return null
  if (!covers(mark, read.spelling)) return null
  return { node: mark.node, index: mark.index, ageMs: ageMs, open: mark.open, row: read.row }
}

/** Whether a key of this spelling would be here, if there were one. */
export function covers(mark: Watermark, spelling: string): boolean {
  if (mark.only.length === 0) return true
  return mark.only.some(prefix => spelling.indexOf(prefix) === 0)
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
