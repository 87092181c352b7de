/** Bytes from outside that do not follow their format: bad input, never our own bug. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
}

/** @throws DecodeError unless `value` is a whole number in [0, 2^53) */
export function asCount(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new DecodeError(`not a count: ${value}`)
  return value
}

/** Memory that many writers share: an allocation for each would be most of what a short one costs. */
interface Slab {
  readonly bytes: Uint8Array
  readonly view: DataView
}

const SLAB_BYTES = 32 * 1024
/** What asks for more gets memory of its own. */
const SHARED_BYTES_MAX = SLAB_BYTES / 8

let shared = slabOf(SLAB_BYTES)
/** of `shared`: behind it is nobody's */
let taken = 0

function slabOf(size: number): Slab {
  const bytes = new Uint8Array(size)
  return { bytes, view: new DataView(bytes.buffer) }
}

/** Appends numbers, strings and byte strings, little-endian, to one growing buffer. */
export class ByteWriter {
  #slab: Slab
  /** of its part of the slab */
  #start: number
  #end: number
  /** where the next byte goes */
  #at: number

  constructor(capacity = 256) {
    if (capacity > SHARED_BYTES_MAX) {
      this.#slab = slabOf(capacity)
      this.#start = 0
    } else {
      if (taken + capacity > SLAB_BYTES) {
        shared = slabOf(SLAB_BYTES)
        taken = 0
      }
      this.#slab = shared
      this.#start = taken
      taken += capacity
    }
    this.#end = this.#start + capacity
    this.#at = this.#start
  }

  get length(): number {
    return this.#at - this.#start
  }

  u8(value: number): this {
    const at = this.#reserve(1) // may replace the slab
    this.#slab.view.setUint8(at, value)
    return this
  }

  u32(value: number): this {
    const at = this.#reserve(4) // may replace the slab
    this.#slab.view.setUint32(at, value, true)
    return this
  }

  /** A whole number up to 2^53: an index, a term, a time. */
  f64(value: number): this {
    const at = this.#reserve(8) // may replace the slab
    this.#slab.view.setFloat64(at, value, true)
    return this
  }

  raw(value: Uint8Array): this {
    const at = this.#reserve(value.length)
    this.#slab.bytes.set(value, at)
    return this
  }

  /** Length (u32), then the bytes. */
  bytes(value: Uint8Array): this {
    return this.u32(value.length).raw(value)
  }

  /** Length (u8), then one byte a character: node ids and other printable ASCII of at most 255. */
  ascii(text: string): this {
    if (text.length > 255) throw new RangeError('ascii: at most 255 characters')
    this.u8(text.length)
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i) & 0x7f)
    return this
  }

  /** Leaves room for a u32 that is known only later; see `setU32`. */
  reserveU32(): number {
    return this.#reserve(4) - this.#start
  }

  setU32(offset: number, value: number): void {
    this.#slab.view.setUint32(this.#start + offset, value, true)
  }

  /** What was written so far: a view, which the next write may change. */
  view(): Uint8Array {
    return new Uint8Array(this.#slab.bytes.buffer, this.#start, this.length)
  }

  /** @returns where in the slab `size` bytes may be put */
  #reserve(size: number): number {
    if (this.#at + size > this.#end) this.#grow(size)
    const at = this.#at
    this.#at = at + size
    return at
  }

  #grow(size: number): void {
    const { length } = this
    const capacity = Math.max((this.#end - this.#start) * 2, length + size)
    const bigger = slabOf(capacity)
    bigger.bytes.set(this.view())
    this.#slab = bigger
    this.#start = 0
    this.#end = capacity
    this.#at = length
  }
}

/**
 * Reads what `ByteWriter` wrote; never beyond the end.
 * Every method throws DecodeError when the bytes are not what they should be.
 */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = at
  }

  get offset(): number {
    return this.#at
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  /** A byte that can only be this one. */
  expect(value: number, what: string): void {
    const found = this.u8()
    if (found !== value) throw new DecodeError(`${what} ${found}, not ${value}`)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  /** A whole number in [0, 2^53); anything else throws. */
  f64(): number {
    return asCount(this.#view.getFloat64(this.#take(8), true))
  }

  raw(length: number): Uint8Array {
    const start = this.#take(length)
    return this.#bytes.subarray(start, start + length)
  }

  /** A view of the input, not a copy. */
  bytes(): Uint8Array {
    return this.raw(this.u32())
  }

  ascii(): string {
    const bytes = this.raw(this.u8())
    let text = ''
    for (const byte of bytes) {
      if (byte < 0x21 || byte > 0x7e) throw new DecodeError('not printable ASCII')
      text += String.fromCharCode(byte)
    }
    return text
  }

  /** Asserts that nothing is left over. */
  end(): void {
    if (this.remaining !== 0) throw new DecodeError(`${this.remaining} bytes too many`)
  }

  #take(size: number): number {
    if (size > this.remaining) throw new DecodeError(`${size - this.remaining} bytes missing`)
    const start = this.#at
    this.#at += size
    return start
  }
}
