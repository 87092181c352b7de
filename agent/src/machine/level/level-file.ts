import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { ByteWriter, DecodeError } from '../../lib/bytes.ts'
import { MachineDamaged } from '../state-machine.ts'
import {
  type Account,
  added,
  bodyOf,
  decodeAccount,
  encodeAccount,
  NO_ENTRIES,
  sameTally,
} from './account.ts'
import type { Entry } from './level-store.ts'

/**
 * A snapshot's file: magic; each entry as length of key, length of value, key, value; a zero; then the
 * account with its length, and a SHA-256 of all before it.
 */
const MAGIC = Buffer.from('RNLV\u0001')
const HEAD_BYTES = 8
const DIGEST_BYTES = 32
const CHUNK_BYTES = 1024 * 1024
const ENTRY_BYTES_MAX = 4 * CHUNK_BYTES

/** fsynced; its name is not durable. */
export async function writeFile(
  file: string,
  entries: AsyncIterable<readonly Entry[]>,
  account: Account,
): Promise<void> {
  const handle = await open(file, 'w', 0o600)
  try {
    const hash = createHash('sha256')
    const put = async (bytes: Uint8Array) => {
      hash.update(bytes)
      await handle.writeFile(bytes)
    }
    await put(MAGIC)
    for await (const some of entries) {
      const writer = new ByteWriter(CHUNK_BYTES)
      for (const [key, value] of some) writer.u32(key.length).u32(value.length).raw(key).raw(value)
      await put(writer.view())
    }
    await handle.writeFile(tailOf(hash, account))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Reads and verifies a whole file.
 * @param take called with its entries, some at a time
 * @param own when given, what it makes of the account takes that one's place, durably
 * @throws MachineDamaged when a byte differs
 */
export async function readFile(
  file: string,
  take: (entries: readonly Entry[]) => Promise<void>,
  own: ((account: Account) => Account) | null = null,
): Promise<Account> {
  const handle = await open(file, own === null ? 'r' : 'r+')
  try {
    const reader = new Reader(handle)
    const { account, at, hash } = await readAll(reader, take).catch(error => {
      if (!(error instanceof DecodeError)) throw error
      throw new MachineDamaged(file, error.message, { cause: error })
    })
    if (own === null) return account
    const replaced = own(account)
    const tail = tailOf(hash, replaced)
    await handle.write(tail, 0, tail.length, at)
    await handle.truncate(at + tail.length)
    await handle.sync()
    return replaced
  } finally {
    await handle.close()
  }
}

interface Read {
  readonly account: Account
  /** where the entries end, and their hash */
  readonly at: number
  readonly hash: Hash
}

async function readAll(
  reader: Reader,
  take: (entries: readonly Entry[]) => Promise<void>,
): Promise<Read> {
  const hash = createHash('sha256')
  const next = async (length: number): Promise<Buffer> => {
    const bytes = await reader.next(length)
    hash.update(bytes)
    return bytes
  }
  if (!(await next(MAGIC.length)).equals(MAGIC)) throw new DecodeError('no snapshot of level-kv')
  let tally = NO_ENTRIES
  let some: Entry[] = []
  for (;;) {
    const at = reader.offset
    const head = await reader.next(4)
    const keyBytes = head.readUInt32LE()
    const before = keyBytes === 0 ? hash.copy() : null
    hash.update(head)
    if (before !== null) {
      await take(some)
      const encoded = Buffer.from(await next((await next(4)).readUInt32LE()))
      await requireEnd(reader, hash)
      const account = decodeAccount(encoded)
      if (!sameTally(account.tally, tally)) throw new DecodeError('entries are missing')
      return { account, at, hash: before }
    }
    const valueBytes = (await next(4)).readUInt32LE()
    const key = Buffer.from(await next(keyBytes))
    const value = Buffer.from(await next(valueBytes))
    bodyOf(key, value)
    tally = added(tally, value)
    some.push([key, value])
    if (some.length < 1000) continue
    await take(some)
    some = []
  }
}

async function requireEnd(reader: Reader, hash: Hash): Promise<void> {
  const digest = await reader.next(DIGEST_BYTES)
  const whole = hash.digest().equals(digest) && (await reader.atEnd())
  if (!whole) throw new DecodeError('the checksum differs')
}

function tailOf(hash: Hash, account: Account): Buffer {
  const tail = new ByteWriter().u32(0).bytes(encodeAccount(account)).view()
  return Buffer.concat([tail, hash.copy().update(tail).digest()])
}

/** Reads a file from its start, a chunk at a time. */
class Reader {
  readonly #handle: FileHandle
  #chunk = Buffer.alloc(0)
  #used = 0
  offset = 0

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** A view, which the next call may change. */
  async next(length: number): Promise<Buffer> {
    if (length > ENTRY_BYTES_MAX) throw new DecodeError('a length that nothing has')
    if (this.#chunk.length - this.#used < length) await this.#fill(length)
    if (this.#chunk.length - this.#used < length) throw new DecodeError('it ends too early')
    const bytes = this.#chunk.subarray(this.#used, this.#used + length)
    this.#used += length
    this.offset += length
    return bytes
  }

  async atEnd(): Promise<boolean> {
    if (this.#chunk.length === this.#used) await this.#fill(1)
    return this.#chunk.length === this.#used
  }

  async #fill(length: number): Promise<void> {
    const rest = this.#chunk.subarray(this.#used)
    const next = Buffer.alloc(Math.max(CHUNK_BYTES, length + HEAD_BYTES))
    rest.copy(next)
    let filled = rest.length
    for (let ended = false; filled < next.length && !ended; ) {
      const at = this.offset + filled
      const { bytesRead } = await this.#handle.read(next, filled, next.length - filled, at)
      filled += bytesRead
      ended = bytesRead === 0
    }
    this.#chunk = next.subarray(0, filled)
    this.#used = 0
  }
}
