import fs from 'node:fs'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { MachineDamaged } from '../../state-machine.ts'
import { type PageSums, sumsOf, sumsOfFile } from './page-sum.ts'
import { decodeSums, encodeSums } from './sums-codec.ts'

/** The sums of a copy stand behind its last page, where SQLite does not look: one file, which proves itself. */
export interface Seal {
  readonly pageBytes: number
  readonly sums: PageSums
}

const MAGIC = 'RNSEAL1\n'
const FOOTER_BYTES = 16
const PAGE_BYTES_AT = 16
const PAGES_AT = 28

/**
 * Seals a database that is complete, in one file, and not in WAL mode; what followed its last page goes. fsynced.
 * @param verify called with its sums before
 */
export async function sealFile(
  file: string,
  verify: (seal: Seal) => Promise<void> = async () => undefined,
): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    const { pageBytes, pages } = sizeOf(await read(handle, 0, 100))
    await handle.truncate(pages * pageBytes)
    const seal = { pageBytes, sums: await sumsOfFile(file, pageBytes) }
    await verify(seal)
    await handle.write(encodeSeal(seal), 0, null, pages * pageBytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A database in memory, as `sealFile` leaves a file. */
export function sealed(image: Buffer): Buffer {
  const { pageBytes } = sizeOf(image)
  return Buffer.concat([image, encodeSeal({ pageBytes, sums: sumsOf(image, pageBytes) })])
}

/** The database alone. */
export function unsealed(bytes: Buffer): Buffer {
  const { pageBytes, pages } = sizeOf(bytes)
  return bytes.subarray(0, pages * pageBytes)
}

/**
 * Null: the file has no seal, as copies of earlier versions.
 * @throws MachineDamaged when a page is not the one that was sealed
 */
export async function verifySeal(file: string): Promise<Seal | null> {
  const seal = await readSeal(file)
  if (seal === null) return null
  const found = await sumsOfFile(file, seal.pageBytes)
  for (const [page, sum] of seal.sums.entries()) {
    if (found[page] === sum) continue
    throw new MachineDamaged(file, `page ${Math.max(page, 1)} differs from its checksum`)
  }
  return seal
}

/**
 * Makes a sealed file, which nobody has open, a database to be served: in WAL mode, and without its seal.
 * To be called when its sums stand elsewhere; synchronous, so that nothing comes between. fsynced.
 */
export function unsealForUse(file: string, { pageBytes, sums }: Seal): void {
  const fd = fs.openSync(file, 'r+')
  try {
    fs.writeSync(fd, Uint8Array.of(2, 2), 0, 2, 18)
    fs.ftruncateSync(fd, (sums.length - 1) * pageBytes)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

async function readSeal(file: string): Promise<Seal | null> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    if (size < FOOTER_BYTES) return null
    const footer = await read(handle, size - FOOTER_BYTES, FOOTER_BYTES)
    if (footer.toString('latin1', 0, 8) !== MAGIC) return null
    if (crc32(footer.subarray(0, 12)) !== footer.readUInt32LE(12)) return null
    const length = footer.readUInt32LE(8)
    if (length + FOOTER_BYTES > size) return null
    const image = decodeSums(await read(handle, size - FOOTER_BYTES - length, length))
    const whole = image !== null && image.records.length === 0 && !image.torn
    const body = whole ? (image.sums.length - 1) * image.pageBytes : -1
    return whole && body + length + FOOTER_BYTES === size ? image : null
  } finally {
    await handle.close()
  }
}

function encodeSeal({ pageBytes, sums }: Seal): Buffer {
  const image = encodeSums(pageBytes, sums)
  const footer = Buffer.alloc(FOOTER_BYTES)
  footer.write(MAGIC, 'latin1')
  footer.writeUInt32LE(image.length, 8)
  footer.writeUInt32LE(crc32(footer.subarray(0, 12)), 12)
  return Buffer.concat([image, footer])
}

/** By a database's first page. */
export function sizeOf(first: Buffer): { readonly pageBytes: number; readonly pages: number } {
  const stored = first.readUInt16BE(PAGE_BYTES_AT)
  return { pageBytes: stored === 1 ? 65_536 : stored, pages: first.readUInt32BE(PAGES_AT) }
}

async function read(
  handle: fs.promises.FileHandle,
  position: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  const { bytesRead } = await handle.read(bytes, 0, length, position)
  return bytes.subarray(0, bytesRead)
}
