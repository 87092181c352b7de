import type { ListedRow } from '../machine/kv/row.ts'
import { type Batch, cutDelta, isKept, split } from './edge-batch.ts'
import { type Op, opOf, spellingOf } from './edge-rows.ts'
import type { EdgeSource } from './edge-source.ts'

type Part = Pick<Batch, 'kind' | 'from' | 'to'> & Partial<Batch>

/**
 * Everything, key by key, while it changes: what is changed meanwhile follows in between, so that the last batch
 * leaves the store as of one entry. Ends without a last batch when changes got lost.
 * @param id of this copy: batches of an earlier one that come late are not mistaken for it
 * @param fresh as of when the source's last entry is known to be the newest
 */
export async function* copyOf(
  source: EdgeSource,
  only: readonly string[],
  { id, fresh }: { readonly id: string; readonly fresh: () => number },
): AsyncGenerator<Part, void> {
  const start = source.last()
  const common = { copy: id, from: start, to: start }
  let part = 0
  const fill = (ops: readonly Op[]): Part => ({ kind: 'fill', ...common, part: ++part, ops })
  yield { kind: 'reset', ...common, part }
  let done = start
  let after: Uint8Array | null = null
  let paged = false
  for (;;) {
    if (!paged) {
      const rows: readonly ListedRow[] = await source.page(after)
      for (const ops of nonEmpty(split(opsOf(rows, only)))) yield fill(ops)
      after = rows.at(-1)?.key ?? null
      paged = after === null
    }
    const last = source.last()
    const entries = source.read(done)
    if (entries === null) return
    if (paged && entries.length === 0) {
      const { open } = source.open()
      yield { kind: 'last', ...common, to: last, part: part + 1, knownAt: fresh(), open }
      return
    }
    const { parts } = cutDelta(entries, only, { last, atLeast: last })
    for (const ops of nonEmpty(parts)) yield fill(ops)
    done = last
  }
}

function opsOf(rows: readonly ListedRow[], only: readonly string[]): Op[] {
  const spelled = rows.map(row => ({ spelling: spellingOf(row.key), row }))
  const kept = spelled.filter(({ spelling }) => isKept(spelling, only))
  return kept.map(({ spelling, row }) => opOf(spelling, row.value, row))
}

function nonEmpty(parts: readonly (readonly Op[])[]): (readonly Op[])[] {
  return parts.filter(part => part.length > 0)
}
