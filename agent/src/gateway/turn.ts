/** One request and its answer, as far as whoever passes them on has to know: pure. */

/** More than any head that nginx forwards. */
export const HEAD_BYTES_MAX = 64 * 1024

const END = '\r\n\r\n'
const WHERETO = /\r\nX-Raft-To: ([^\r\n]{1,64})\r\n/
/** Without it a leader of before lanes would take it for an agent's own question. */
const HOP = /\r\nX-Raft-Hop: 1\r\n/
/** Where some readers see an end of a line, and others none. */
const DOUBTFUL = /(?<!\r)\n|\r(?!\n)/
const LENGTH = /\r\ncontent-length: *([0-9]{1,15})\r\n/i
const CHUNKED = /\r\ntransfer-encoding:/i
const BODILESS = /^HTTP\/1\.[01] (?:204|304) /

/** What the head of a request says to whoever passes it on. */
export interface Asked {
  /** name of a node, as nginx wrote it */
  readonly to: string
  /** of head and body */
  readonly bytes: number
}

/**
 * Null: its head has not come wholly. nginx writes every line of it but those that a client sent, which it has read; it
 * knows the length of each body.
 * @throws Error in words for what nginx does not send
 */
export function readAsked(begun: Buffer): Asked | null {
  const end = begun.indexOf(END)
  if (end === -1) {
    if (begun.length > HEAD_BYTES_MAX) throw new Error('a head without an end')
    return null
  }
  const head = begun.toString('latin1', 0, end + 2)
  const to = WHERETO.exec(head)?.[1]
  if (to === undefined) throw new Error('a request that does not say where it goes')
  if (!HOP.test(head)) throw new Error('a request that does not say that nginx sends it')
  if (DOUBTFUL.test(head)) throw new Error('a head whose lines are doubtful')
  if (CHUNKED.test(head)) throw new Error('a body whose length is not told')
  return { to, bytes: end + END.length + Number(LENGTH.exec(head)?.[1] ?? 0) }
}

/** From the first byte of a request to the last one of its answer. */
export class Turn {
  #toCome: number
  /** the answer's head as far as it is here; null: it is complete */
  #head: Buffer | null = Buffer.alloc(0)
  /** of the answer, that are still to come; infinite where only its sender knows its end */
  #missing = Number.POSITIVE_INFINITY

  constructor(bytes: number) {
    this.#toCome = bytes
  }

  /** Bytes of the request that are not here yet. */
  get toCome(): number {
    return this.#toCome
  }

  /** False: so much does not belong to this request. */
  asked(bytes: number): boolean {
    this.#toCome -= bytes
    return this.#toCome >= 0
  }

  answered(chunk: Buffer): void {
    if (this.#head === null) {
      this.#missing -= chunk.length
      return
    }
    const begun = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk])
    const end = begun.indexOf(END)
    if (end === -1 && begun.length <= HEAD_BYTES_MAX) {
      this.#head = begun
      return
    }
    this.#head = null
    if (end === -1) return
    const head = begun.toString('latin1', 0, end + 2)
    const length = BODILESS.test(head) ? '0' : LENGTH.exec(head)?.[1]
    if (length === undefined) return
    this.#missing = Number(length) - (begun.length - end - END.length)
  }

  /** Both are complete: what comes next is another request. */
  get isOver(): boolean {
    return this.#toCome === 0 && this.#missing <= 0
  }

  /** Whoever asked has seen the end of the answer, or may have seen one that is not seen here. */
  get isAnswered(): boolean {
    return this.#missing <= 0 || (this.#head === null && !Number.isFinite(this.#missing))
  }

  get mayBeOver(): boolean {
    return this.#toCome === 0 && this.isAnswered
  }
}
