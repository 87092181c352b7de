/** What the agent sends to nginx's shared dict, and when it is taken. Pure: see dict.ts for the rows. */

import type { Open } from './acl.ts'
import {
  type Dict,
  FORMAT,
  ROW,
  readWatermark,
  WATERMARK,
  type Watermark,
  writeWatermark,
} from './dict.ts'

/**
 * `reset`, `fill` … `last` are one full copy: its parts count from 0. Then a `delta` for what was applied since; an
 * empty one says that nothing was. A batch is repeated until it was answered, so it must be taken twice.
 */
export interface Batch {
  readonly format: number
  readonly kind: 'reset' | 'fill' | 'last' | 'delta'
  readonly epoch: string
  readonly node: string
  readonly only: readonly string[]
  /** to whom rows may be shown, as of `to` */
  readonly open: Open
  readonly copy: string
  readonly part: number
  /** entries after `from` up to `to` */
  readonly from: number
  readonly to: number
  /** of a delta: more of these entries' changes follow in the next batch */
  readonly more: boolean
  readonly knownAt: number
  /** `[spelling]`: gone; `[spelling, row]` */
  readonly ops: readonly (readonly string[])[]
}

export type Verdict =
  | ({ readonly status: 200; readonly index: number } & Space)
  /** does not follow on what the zone holds: this */
  | { readonly status: 409; readonly watermark: Watermark | null }
  /** this took so long that it may have been repeated elsewhere */
  | { readonly status: 503; readonly error: string }
  /** the zone is full; nothing in it is served any more */
  | ({ readonly status: 507; readonly error: string } & Space)

/** Bytes of the zone, and of those that no page of it uses. */
interface Space {
  readonly free: number
  readonly capacity: number
}

/**
 * A worker that was held up for longer does not write on: by then the agent may have sent the batch again, to another
 * worker. Well below the agent's own patience.
 */
const WRITE_MS_MAX = 500

/** @param now Unix ms */
export function takeBatch(dict: Dict, batch: Batch, now: () => number): Verdict {
  const stored = dict.get(WATERMARK)
  const mark = readWatermark(stored)
  if (batch.format !== FORMAT || !follows(mark, batch)) return { status: 409, watermark: mark }
  try {
    return write(dict, { batch: batch, stored: stored, mark: mark }, now)
  } catch (error) {
    // In this order of trust: without a watermark nothing is served.
    dict.delete(WATERMARK)
    return {
      status: 507,
      error: (error as Error).name,
      free: dict.freeSpace(),
      capacity: dict.capacity,
    }
  }
}

function follows(mark: Watermark | null, batch: Batch): boolean {
  if (batch.kind === 'reset') return true
  if (mark === null || mark.epoch !== batch.epoch || mark.index !== batch.from) return false
  if (batch.kind === 'delta') return mark.whole && batch.to >= mark.next
  if (mark.whole || mark.copy !== batch.copy) return false
  // the next one, or the last again
  return batch.part === mark.part + 1 || batch.part === mark.part
}

interface Work {
  readonly batch: Batch
  readonly stored: string | undefined
  readonly mark: Watermark | null
}

function write(dict: Dict, work: Work, now: () => number): Verdict {
  const batch = work.batch
  const began = now()
  let own = work.stored
  if (batch.kind === 'reset') {
    dict.clear()
    own = undefined
  } else if (batch.kind === 'delta' && batch.ops.length > 0) {
    // Not exact from here on, nor if this worker dies on its way.
    const knownAt = work.mark === null ? 0 : work.mark.knownAt
    own = encode(batch, { index: batch.from, next: batch.to, knownAt: knownAt })
    dict.set(WATERMARK, own)
  }
  for (let at = 0; at < batch.ops.length; at++) {
    const late = now() - began
    if (late > WRITE_MS_MAX || late < 0) return { status: 503, error: 'held up' }
    const op = batch.ops[at] as readonly string[]
    if (op[1] === undefined) dict.delete(ROW + op[0])
    else dict.set(ROW + op[0], op[1])
  }
  // Somebody else has written meanwhile: what the rows are now nobody can say.
  if (dict.get(WATERMARK) !== own) {
    dict.delete(WATERMARK)
    return { status: 409, watermark: null }
  }
  const done = batch.kind !== 'delta' || !batch.more
  const index = done ? batch.to : batch.from
  dict.set(WATERMARK, encode(batch, { index: index, next: batch.to, knownAt: batch.knownAt }))
  return { status: 200, index: index, free: dict.freeSpace(), capacity: dict.capacity }
}

function encode(
  batch: Batch,
  at: { readonly index: number; readonly next: number; readonly knownAt: number },
): string {
  const mark: Watermark = {
    format: FORMAT,
    epoch: batch.epoch,
    node: batch.node,
    only: batch.only,
    open: batch.open,
    index: at.index,
    next: at.next,
    whole: batch.kind === 'delta' || batch.kind === 'last',
    copy: batch.copy,
    part: batch.part,
    knownAt: at.knownAt,
  }
  return writeWatermark(mark)
}
