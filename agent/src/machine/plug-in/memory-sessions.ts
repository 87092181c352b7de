import { type ByteReader, type ByteWriter, DecodeError } from '../../lib/bytes.ts'
import { SESSION_LIFETIME_MS, SESSIONS_MAX } from '../sqlite/sessions.ts'
import type { Idempotency, Result } from '../state-machine.ts'

const KEY_REUSED: Result = { kind: 'rejected', code: 'KEY_REUSED' }
const NOTHING = 0
const VALUE = 1
const REJECTED = 2

/** The answer to one request. */
export interface Known {
  readonly requestHash: Uint8Array
  readonly result: Result
  readonly timeMs: number
}

/** Answers by `Idempotency-Key`, for machines in memory: the rules of `sqlite/sessions.ts`, in a map. */
export class MemorySessions {
  /** Oldest first, since the log's time never falls and what is answered anew moves to the end. */
  readonly #known = new Map<string, Known>()
  readonly #changed: (key: string, known: Known | null) => void

  /** @param changed called with what is remembered or (null) forgotten */
  constructor(changed: (key: string, known: Known | null) => void = () => undefined) {
    this.#changed = changed
  }

  /** Runs `execute` unless this request was answered before. */
  once({ key, requestHash }: Idempotency, nowMs: number, execute: () => Result): Result {
    const expiry = nowMs - SESSION_LIFETIME_MS
    const known = this.#known.get(key)
    if (known !== undefined && known.timeMs > expiry) {
      return Buffer.compare(known.requestHash, requestHash) === 0 ? known.result : KEY_REUSED
    }
    const result = execute()
    this.#known.delete(key)
    const answered = { requestHash: requestHash.slice(), result: copied(result), timeMs: nowMs }
    this.#known.set(key, answered)
    this.#changed(key, answered)
    // Two for one: the map shrinks although each entry does little.
    this.#forgetOldest(known => known.timeMs <= expiry)
    this.#forgetOldest(known => known.timeMs <= expiry)
    this.#forgetOldest(() => this.#known.size > SESSIONS_MAX)
    return result
  }

  /** Remembers one that was answered before, later than all that are here. */
  add(key: string, known: Known): void {
    this.#known.set(key, known)
  }

  writeTo(writer: ByteWriter): void {
    writer.u32(this.#known.size)
    for (const [key, known] of this.#known) writeKnown(writer.ascii(key), known)
  }

  /**
   * What `writeTo` wrote, copied.
   * @throws DecodeError
   */
  static readFrom(reader: ByteReader): MemorySessions {
    const sessions = new MemorySessions()
    for (let left = reader.u32(); left > 0; left--) {
      sessions.add(reader.ascii(), readKnown(reader))
    }
    return sessions
  }

  #forgetOldest(when: (known: Known) => boolean): void {
    const oldest = this.#known.entries().next()
    if (oldest.done === true) return
    const [key, known] = oldest.value
    if (!when(known)) return
    this.#known.delete(key)
    this.#changed(key, null)
  }
}

export function writeKnown(writer: ByteWriter, { requestHash, result, timeMs }: Known): void {
  writer.bytes(requestHash).f64(timeMs)
  if (result.kind === 'rejected') writer.u8(REJECTED).ascii(result.code)
  else if (result.value === null) writer.u8(NOTHING)
  else writer.u8(VALUE).bytes(result.value)
}

/**
 * What `writeKnown` wrote, copied.
 * @throws DecodeError
 */
export function readKnown(reader: ByteReader): Known {
  const requestHash = reader.bytes().slice()
  const timeMs = reader.f64()
  return { requestHash, timeMs, result: readResult(reader) }
}

function readResult(reader: ByteReader): Result {
  const kind = reader.u8()
  if (kind === REJECTED) return { kind: 'rejected', code: reader.ascii() }
  if (kind === NOTHING) return { kind: 'done', value: null }
  if (kind === VALUE) return { kind: 'done', value: reader.bytes().slice() }
  throw new DecodeError(`a result of kind ${kind}`)
}

/** The machine's own buffer may change under its result. */
function copied(result: Result): Result {
  if (result.kind === 'rejected' || result.value === null) return result
  return { kind: 'done', value: result.value.slice() }
}
