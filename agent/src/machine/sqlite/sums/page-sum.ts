import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'

/**
 * Checksums of a database's pages, by their numbers, which begin with 1. Place 0 has that of page 1
 * without what SQLite changes there when it copies a database or changes its journal mode.
 */
export type PageSums = Uint32Array<ArrayBuffer>

/** Read at once; between two reads others have their turn. */
const CHUNK_BYTES = 1024 * 1024
/** SQLite never uses the page with this byte: locks are there. */
const PENDING_BYTE = 0x40000000
const VERSIONS = [18, 19] as const
const WAL_MODE = 2
/** Change counter, size, schema cookie, and where the counter was valid: sqlite.org/fileformat2.html#the_database_header. */
const VARIABLE = [
  [18, 20],
  [24, 32],
  [40, 44],
  [92, 100],
] as const

/** Page 1 counts as one in WAL mode: a copy leaves that mode, and gets it back where it serves. */
export function sumOf(page: Uint8Array, number: number): number {
  if (number !== 1 || !VERSIONS.every(at => page[at] === 1)) return crc32(page)
  const served = Uint8Array.from(page)
  for (const at of VERSIONS) served[at] = WAL_MODE
  return crc32(served)
}

/** For place 0. */
export function looseSumOf(first: Uint8Array): number {
  const constant = Uint8Array.from(first)
  for (const [from, to] of VARIABLE) constant.fill(0, from, to)
  return crc32(constant)
}

/** Of a whole database. */
export function sumsOf(bytes: Uint8Array, pageBytes: number): PageSums {
  const sums = new Uint32Array(Math.floor(bytes.length / pageBytes) + 1)
  if (sums.length > 1) addSums(sums, bytes, { pageBytes, first: 1 })
  return sums
}

/** Of a file that nobody in this process has open with SQLite; what follows the last whole page is left out. */
export async function sumsOfFile(file: string, pageBytes: number): Promise<PageSums> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const sums = new Uint32Array(Math.floor(size / pageBytes) + 1)
    const chunk = Buffer.allocUnsafe(Math.ceil(CHUNK_BYTES / pageBytes) * pageBytes)
    for (let first = 1; first < sums.length; ) {
      const at = (first - 1) * pageBytes
      const wanted = Math.min(chunk.length, (sums.length - first) * pageBytes)
      const { bytesRead } = await handle.read(chunk, 0, wanted, at)
      if (bytesRead < wanted) throw new Error(`${file} is being cut`)
      addSums(sums, chunk.subarray(0, bytesRead), { pageBytes, first })
      first += bytesRead / pageBytes
    }
    return sums
  } finally {
    await handle.close()
  }
}

/** `sums` for `pages` pages: cut, or with zeros behind. */
export function resized(sums: PageSums, pages: number): PageSums {
  if (sums.length === pages + 1) return sums
  const next = new Uint32Array(pages + 1)
  next.set(sums.subarray(0, pages + 1))
  return next
}

/** Whether nothing is ever written to this page. */
export function isUnused(page: number, pageBytes: number): boolean {
  return page === Math.floor(PENDING_BYTE / pageBytes) + 1
}

function addSums(
  sums: PageSums,
  bytes: Uint8Array,
  { pageBytes, first }: { readonly pageBytes: number; readonly first: number },
): void {
  for (let at = 0, number = first; at + pageBytes <= bytes.length; at += pageBytes, number++) {
    const page = bytes.subarray(at, at + pageBytes)
    sums[number] = sumOf(page, number)
    if (number === 1) sums[0] = looseSumOf(page)
  }
}
