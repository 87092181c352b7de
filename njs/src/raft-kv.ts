/**
 * For scripts of an operator's own: the replicated store, read from this nginx's memory. All calls are synchronous and
 * stay within the worker, so they fit js_set, js_content, js_header_filter and js_access alike:
 *
 *   import kv from 'raft-kv.js'
 *   function pool(r) { return kv.get(`pool/${r.variables.host}`) || 'blue' }
 *
 * They answer with what was known last, whatever its age: `ageMs` tells it, and the caller chooses. Two calls may show
 * two states of the store: what belongs together goes into one value.
 */

import {
  canonical,
  covers,
  type Dict,
  indexOf,
  isWhole,
  knownAtOf,
  ROW,
  textOf,
  WATERMARK,
} from './dict.ts'

/**
 * The value of a key. Undefined: there is none, it is no text, keys of this name are not kept here, or nothing is known
 * yet, which `index() === 0` tells apart: whether that means open or closed is the caller's to say.
 */
function get(key: string): string | undefined {
  const dict = store()
  const spelling = spell(key)
  if (dict === undefined || spelling === null) return undefined
  const mark = whole(dict)
  if (mark === null || !covers(mark, spelling)) return undefined
  const row = dict.get(ROW + spelling)
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
  const mark = whole(store())
  return mark === null ? 0 : indexOf(mark)
}

/** How old this knowledge can be, ms; Infinity: nobody knows. */
function ageMs(): number {
  const mark = whole(store())
  const knownAt = mark === null ? 0 : knownAtOf(mark)
  const age = knownAt === 0 ? -1 : Date.now() - knownAt
  // Below zero the clock was set back.
  return age >= 0 ? age : Number.POSITIVE_INFINITY
}

/** The watermark; null where all is being copied, or nothing is there. */
function whole(dict: Dict | undefined): string | null {
  const mark = dict === undefined ? undefined : dict.get(WATERMARK)
  return isWhole(mark) ? mark : null
}

/** Null for a text that no UTF-8 can tell. */
function spell(key: string): string | null {
  try {
    return canonical(encodeURIComponent(key))
  } catch {
    return null
  }
}

/** Undefined where this nginx was rendered without edge reads. */
function store(): Dict | undefined {
  return ngx.shared?.raft_kv as unknown as Dict | undefined
}

export default { get, json, index, ageMs }
