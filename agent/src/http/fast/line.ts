import { assert } from '../../lib/assert.ts'
import type { Reply } from '../reply.ts'
import { isRepeatable, type Order } from './order.ts'
import type { Served } from './served.ts'

/** Of one connection: more would wait for each other only. */
const BEGUN_MAX = 64
/** Of one connection's requests together, from the second one on: larger ones have their turns. */
const BEGUN_BYTES_MAX = 64 * 1024
/**
 * Behind the first ones of all connections together: half of the writes that may wait on a node at once. Above it each
 * connection has one at a time, as those have that do not.
 */
const AHEAD_MAX = 256
/** Of one connection's answers together that its client does not take, from the second one on. */
const KEPT_BYTES_MAX = 256 * 1024

/** What the connections of a door share. */
export interface Ahead {
  /**
   * Requests, on all connections, behind the first one of theirs, from their beginning until their answers are written or
   * put off: whoever takes no answers has no places.
   */
  count: number
}

/**
 * The requests of one connection that were begun and whose answers have not left, in the order they came. Answers of reads
 * that the client does not take are put off: let go, and asked for anew, one at a time, when those before them have left.
 */
export class Line {
  readonly #ahead: Ahead
  #begun: Served[] = []
  /** Their answers were written; the kernel has not taken them. */
  readonly #leaving: (readonly Served[])[] = []
  #bytes = 0
  /** of the answers that were not written; nothing that is put off has one */
  #answerBytes = 0
  /** of those begun, how many are put off */
  #putOff = 0
  /** how many are begun and not put off */
  #underWay = 0
  /** how many of them have no answer yet; they are of one order */
  #open = 0
  #order: Order = 'alone'

  constructor(ahead: Ahead) {
    this.#ahead = ahead
  }

  /** of those whose answers were not written */
  get length(): number {
    return this.#begun.length
  }

  get isLeaving(): boolean {
    return this.#leaving.length > 0
  }

  get hasPutOff(): boolean {
    return this.#putOff > 0
  }

  /**
   * Whether the next request may begin now. Not behind answers of which some may be put off: a write would be seen by the
   * reads before it.
   */
  admits(order: Order, bytes: number): boolean {
    if (this.#begun.length === 0) return true
    return (
      this.#answerBytes <= KEPT_BYTES_MAX &&
      (this.#open === 0 || (order === this.#order && order !== 'alone')) &&
      this.#begun.length < BEGUN_MAX &&
      this.#bytes + bytes <= BEGUN_BYTES_MAX &&
      this.#ahead.count < AHEAD_MAX
    )
  }

  begin(served: Served): void {
    this.#begun.push(served)
    this.#bytes += served.bytes
    this.#open++
    this.#order = served.order
    this.#setUnderWay(this.#underWay + 1)
  }

  /** One has its answer. Of a HEAD's nobody reads the body, and nobody would count it while it is kept. */
  settled(served: Served, reply: Reply): void {
    served.reply = served.bodiless ? withoutBody(reply) : reply
    this.#answerBytes += answerBytes(served)
    this.#open--
  }

  /**
   * Those whose answers can be written now, and are leaving from now on: none stands before them without one.
   * @param unreadBytes of answers that were written and that the kernel has not
   */
  takeSettled(unreadBytes: number): readonly Served[] {
    const begun = this.#begun
    let bytes = unreadBytes
    let count = 0
    for (const served of begun) {
      if (served.reply === null) break
      const more = answerBytes(served)
      // Any other answer there is once, and all before it fits: see `admits`.
      if (bytes > 0 && bytes + more > KEPT_BYTES_MAX && isRepeatable(served.order)) break
      bytes += more
      count++
    }
    if (count === 0) return []
    this.#begun = count === begun.length ? [] : begun.splice(count)
    this.#bytes = this.#begun.reduce((sum, each) => sum + each.bytes, 0)
    this.#answerBytes -= bytes - unreadBytes
    this.#leaving.push(begun)
    this.#setUnderWay(this.#underWay - count)
    return begun
  }

  /** What could be written was taken: answers that stand behind one that the client does not take are let go. */
  putOff(): void {
    const [first] = this.#begun
    if (first === undefined || (first.reply === null && !first.isPutOff)) return
    for (const served of this.#begun) {
      if (served.reply === null) continue
      assert(isRepeatable(served.order), 'only plain reads are put off')
      this.#answerBytes -= answerBytes(served)
      served.reply = null
      served.isPutOff = true
      this.#putOff++
    }
    this.#setUnderWay(this.#begun.length - this.#putOff)
  }

  /**
   * The first, if it was put off and all before it have left: it is to be asked for anew. Not while one behind it is under
   * way, whose answer would be the older one.
   */
  takePutOff(): Served | null {
    const [first] = this.#begun
    if (first === undefined || !first.isPutOff || this.isLeaving || this.#underWay > 0) return null
    first.isPutOff = false
    this.#putOff--
    this.#open++
    this.#setUnderWay(this.#underWay + 1)
    return first
  }

  /** The first of those that are leaving together have left. */
  left(): readonly Served[] {
    return this.#leaving.shift() ?? []
  }

  /** Takes away all. */
  takeAll(): readonly Served[] {
    const all = [...this.#leaving.splice(0).flat(), ...this.#begun]
    this.#begun = []
    this.#bytes = 0
    this.#answerBytes = 0
    this.#putOff = 0
    this.#setUnderWay(0)
    return all
  }

  #setUnderWay(count: number): void {
    this.#ahead.count += Math.max(0, count - 1) - Math.max(0, this.#underWay - 1)
    this.#underWay = count
  }
}

function withoutBody({ status, headers }: Reply): Reply {
  return { status, headers, body: '' }
}

/** Of its body: heads are short. */
function answerBytes({ reply }: Served): number {
  if (reply === null) return 0
  return typeof reply.body === 'string' ? Buffer.byteLength(reply.body) : reply.body.length
}
