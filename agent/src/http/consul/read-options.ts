import type { Exchange } from '../exchange.ts'
import type { Level } from '../levels.ts'
import { type Refusal, refuse } from '../refusal.ts'
import { parseDuration } from './duration.ts'

/** How a read is to be answered. */
export interface ReadOptions extends Level {
  /** Answer once the index is above this one, or the time is over; null: at once. */
  readonly block: { readonly index: number; readonly waitMs: number } | null
}

/** As in Consul: what a blocking query waits for unless it says so, and at most. */
const WAIT_MS = 5 * 60_000
const WAIT_MS_MAX = 10 * 60_000

/**
 * As Consul has it, a read without a mode shows what was answered before it: a client that writes
 * through one gateway and reads through another sees its write. `stale` and `max_stale` are answered
 * from what this node has, without a leader.
 */
export function readOptions({ target, head }: Exchange): ReadOptions | Refusal {
  const { query } = target
  const bound = query.get('max_stale')
  const maxStaleMs = bound === undefined ? null : parseDuration(bound)
  if (bound !== undefined && maxStaleMs === null) return badDuration('max_stale')
  const stale = query.has('stale') || bound !== undefined
  if (stale && query.has('consistent')) {
    return refuse(
      400,
      'BAD_QUERY',
      'Cannot specify ?stale with ?consistent, conflicting semantics.',
    )
  }
  const index = wholeNumber(query.get('index') ?? '0')
  if (index === null) return refuse(400, 'BAD_INDEX', 'Invalid index')
  const waitMs = query.has('wait') ? parseDuration(query.get('wait') ?? '') : WAIT_MS
  if (waitMs === null) return badDuration('wait')
  const block = index === 0 ? null : { index, waitMs: Math.min(waitMs || WAIT_MS, WAIT_MS_MAX) }
  return { consistent: !stale, minIndex: head.minIndex, maxStaleMs, block }
}

/** A decimal number below 2^53. */
export function wholeNumber(text: string): number | null {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : null
}

function badDuration(name: string): Refusal {
  return refuse(400, 'BAD_DURATION', `Invalid ${name}: not a duration like 500ms or 5s`)
}
