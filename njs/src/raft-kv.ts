/**
 * For scripts of an operator's own: the replicated store, read from this nginx's memory. All calls are synchronous and
 * stay within the worker, so they fit js_set, js_content and js_access alike:
 *
 *   import kv from 'raft-kv.js'
 *   function pool(r) { return kv.get(`pool/${r.variables.host}`) || 'blue' }
 *
 * They answer with what was known last, whatever its age: `ageMs` tells it, and the caller chooses.
 */

import {
  canonical,
  type Dict,
  ROW,
  readWatermark,
  textOf,
  WATERMARK,
  type Watermark,
} from './dict.ts'

/**
 * The value of a key. Undefined: there is none, it is no text, it is not kept here, or nothing is known yet, which
 * `index() === 0` tells apart: whether that means open or closed is the caller's to say.
 */
function get(key: string): string | undefined {
  const row = whole() === null ? undefined : store()?.get(ROW + canonical(encodeURIComponent(key)))
  return row === undefined ? undefined : textOf(row)
}

/** A value that is JSON, parsed. Undefined: as for `get`, or it is no JSON. */
function json(key: string): unknown {
  const text = get(key)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The entry as of which the store is known here; 0: nothing is known. */
function index(): number {
  const mark = whole()
  return mark === null ? 0 : mark.index
}

/** How old this knowledge can be, ms; Infinity: nothing is known. */
function ageMs(): number {
  const mark = whole()
  if (mark === null || mark.knownAt === 0) return Number.POSITIVE_INFINITY
  return Math.max(0, Date.now() - mark.knownAt)
}

function whole(): Watermark | null {
  const mark = readWatermark(store()?.get(WATERMARK))
  return mark?.whole ? mark : null
}

/** Undefined where this nginx was rendered without edge reads. */
function store(): Dict | undefined {
  return ngx.shared?.raft_kv as unknown as Dict | undefined
}

export default { get, json, index, ageMs }
