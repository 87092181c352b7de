/** What is sent to nginx's shared memory; njs/src/batch.ts takes it. */

import type { Open } from './edge-open.ts'
import { type Op, opOf, spellingOf } from './edge-rows.ts'
import type { EntryChange } from './edge-source.ts'

export const FORMAT = 4

/** The same for all batches of one filler. */
export interface Sender {
  /**
   * Names one history of the store and what is kept of it: where it is the same, indexes mean the same, and rows that
   * another filler left can be gone on with.
   */
  readonly epoch: string
  readonly node: string
  /** spellings that keys begin with, where only some are kept; empty: all keys */
  readonly only: readonly string[]
}

export interface Batch extends Sender {
  readonly format: typeof FORMAT
  readonly kind: 'reset' | 'fill' | 'last' | 'delta'
  readonly copy: string
  readonly part: number
  readonly from: number
  readonly to: number
  /** of a delta: more of these entries' changes follow in the next batch */
  readonly more: boolean
  /** to whom rows may be shown, as of `to` */
  readonly open: Open
  /** Unix ms; 0: no one knows */
  readonly knownAt: number
  readonly ops: readonly Op[]
}

/** What nginx says that its memory holds. */
export interface Watermark extends Sender {
  readonly index: number
  readonly next: number
  readonly whole: boolean
}

/** A worker that writes holds the others up, and one that is killed while it writes leaves the memory locked. */
const OPS_MAX = 1000
const BYTES_MAX = 256 * 1024

/** What entries together have changed, as few batches' worth of it as the limits allow. */
export interface Cut {
  readonly to: number
  /** at least one, of which only the last completes `to` */
  readonly parts: readonly (readonly Op[])[]
}

/**
 * As many entries as fit into one batch, and one at least: an entry is never cut in two states, however many batches
 * it takes.
 * @param entries oldest first; `last` is what they lead to, beyond the newest of them where later ones changed nothing
 * @param atLeast the batch must not end before: a batch up to there was begun
 */
export function cutDelta(
  entries: readonly EntryChange[],
  only: readonly string[],
  { last, atLeast }: { readonly last: number; readonly atLeast: number },
): Cut {
  const ops = new Map<string, Op>()
  let bytes = 0
  for (const [at, { index, changes }] of entries.entries()) {
    for (const { key, value, row } of changes) {
      const spelling = spellingOf(key)
      if (!isKept(spelling, only)) continue
      ops.set(spelling, opOf(spelling, value, row))
      bytes += spelling.length + (value?.length ?? 0)
    }
    const full = ops.size >= OPS_MAX || bytes >= BYTES_MAX
    const whole = at === entries.length - 1
    if (full && !whole && index >= atLeast) return { to: index, parts: split([...ops.values()]) }
  }
  return { to: last, parts: split([...ops.values()]) }
}

/** In batches that a worker writes quickly. */
export function split(ops: readonly Op[]): (readonly Op[])[] {
  const parts: Op[][] = []
  let part: Op[] = []
  let bytes = 0
  for (const op of ops) {
    const size = op[0].length + (op[1]?.length ?? 0)
    if (part.length > 0 && (part.length >= OPS_MAX || bytes + size > BYTES_MAX)) {
      parts.push(part)
      part = []
      bytes = 0
    }
    part.push(op)
    bytes += size
  }
  parts.push(part)
  return parts
}

export function isKept(spelling: string, only: readonly string[]): boolean {
  return only.length === 0 || only.some(prefix => spelling.startsWith(prefix))
}

/** The watermark in nginx's refusal; null where it has none, or this is no such answer. */
export function asWatermark(body: string): Watermark | null {
  try {
    const { watermark } = JSON.parse(body) as { watermark: Watermark | null }
    return watermark ?? null
  } catch {
    return null
  }
}
