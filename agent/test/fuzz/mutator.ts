import type { Chance } from '../simulation/chance.ts'

/** At once; more leave nothing of the seed. */
const CHANGES_MAX = 6
const RUN_MAX = 40
/** A case never grows beyond this. */
const BYTES_MAX = 64 * 1024

/** Bytes that mean something to somebody. */
const WORDS: readonly Uint8Array[] = [
  ...[
    '\r\n',
    '\r\n\r\n',
    '\n',
    '\0',
    ' ',
    ':',
    ',',
    '%',
    '%2f',
    '%00',
    '%zz',
    '..',
    '/',
    '//',
    '?',
  ],
  ...[
    '"',
    '{',
    '}',
    '[',
    ']',
    '\\u0000',
    '\\ud800',
    '__proto__',
    '-1',
    '1e999',
    '9007199254740993',
  ],
  ...['chunked', 'Transfer-Encoding: chunked\r\n', 'Content-Length: 5\r\n', 'HTTP/1.1', 'HTTP/0.9'],
  ...['Expect: 100-continue\r\n', 'Connection: close\r\n', '\xff\xfe', '\xed\xa0\x80', '0\r\n\r\n'],
].map(text => Buffer.from(text, 'latin1'))

const NUMBERS: readonly number[] = [
  0,
  -0,
  -1,
  1,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 64,
  Number.NaN,
]

/** Changes of valid input, byte by byte: the same draws make the same case. */
export class Mutator {
  readonly #chance: Chance
  readonly #seeds: readonly Uint8Array[]

  constructor(chance: Chance, seeds: readonly Uint8Array[]) {
    this.#chance = chance
    this.#seeds = seeds
  }

  next(): Uint8Array {
    let bytes = Uint8Array.from(this.#chance.oneOf(this.#seeds))
    for (let left = this.#chance.within(1, CHANGES_MAX); left > 0; left--) {
      bytes = this.#change(bytes)
    }
    return bytes.subarray(0, BYTES_MAX)
  }

  #change(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const chance = this.#chance
    const at = chance.within(0, bytes.length)
    const end = Math.min(bytes.length, at + chance.within(0, RUN_MAX))
    switch (chance.within(0, 7)) {
      case 0: {
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << chance.within(0, 7))
        return bytes
      }
      case 1: {
        if (at < bytes.length) bytes[at] = chance.within(0, 255)
        return bytes
      }
      case 2:
        return spliced(bytes, at, end, [])
      case 3:
        return spliced(bytes, at, at, bytes.subarray(at, end))
      case 4:
        return spliced(bytes, at, at, chance.oneOf(WORDS))
      case 5:
        return spliced(bytes, at, chance.happens(0.5) ? end : at, this.#foreign())
      case 6:
        return this.#numbered(bytes, at)
      default:
        return bytes.slice(0, at)
    }
  }

  /** A part of another one. */
  #foreign(): Uint8Array {
    const other = this.#chance.oneOf(this.#seeds)
    const from = this.#chance.within(0, other.length)
    return other.subarray(from, from + this.#chance.within(0, RUN_MAX))
  }

  /** A length or an index that lies. */
  #numbered(bytes: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const number = this.#chance.oneOf(NUMBERS)
    if (at + 8 <= bytes.length && this.#chance.happens(0.5)) view.setFloat64(at, number, true)
    else if (at + 4 <= bytes.length) view.setUint32(at, number, true)
    return bytes
  }
}

function spliced(
  bytes: Uint8Array,
  from: number,
  to: number,
  between: ArrayLike<number>,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...bytes.subarray(0, from),
    ...Array.from(between),
    ...bytes.subarray(to),
  ])
}
