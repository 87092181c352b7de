import { type PageSums, resized } from './page-sum.ts'
import type { SumsImage } from './sums-codec.ts'
import type { WalState } from './wal-scan.ts'

/** All pages of the database's file at a moment when it was whole. */
export interface KnownState {
  readonly sums: PageSums
  readonly pages: number
  /** as of so many records */
  readonly records: number
}

/**
 * What the file may be, apart from pages that the WAL holds; the likeliest first.
 *
 * A record was written before its checkpoint. If its WAL has been started over since, that checkpoint was
 * complete. If its WAL is still there, what the record names is in the WAL, or was never moved, as when the
 * power failed before these frames were synced. If there is no WAL to be read, either may be.
 */
export function* knownStates(image: SumsImage, wal: WalState): Generator<KnownState> {
  let count = image.records.length
  while (wal.name !== null && image.records[count - 1]?.wal === wal.name) count -= 1
  yield after(image, count)
  if (wal.name !== null) return
  const last = image.records[count - 1]?.wal
  while (count > 0 && image.records[count - 1]?.wal === last) {
    count -= 1
    yield after(image, count)
  }
}

function after({ sums, records }: SumsImage, count: number): KnownState {
  const applied = records.slice(0, count)
  const pages = applied.at(-1)?.pages ?? sums.length - 1
  const most = Math.max(pages, sums.length - 1, ...applied.map(record => record.pages))
  const result = resized(Uint32Array.from(sums), most)
  for (const { changed } of applied) {
    for (const [page, sum] of changed) result[page] = sum
  }
  return { sums: resized(result, pages), pages, records: count }
}
