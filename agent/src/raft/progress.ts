import { assert } from '../lib/assert.ts'
import { asLogIndex, type LogIndex } from './types.ts'

/** How much may be on its way to one peer without an answer. */
export interface Window {
  readonly messagesMax: number
  readonly bytesMax: number
}

interface InFlight {
  readonly last: LogIndex
  readonly bytes: number
}

/** A `Progress` as plain data. */
export type ProgressImage = Pick<
  Progress,
  | 'match'
  | 'next'
  | 'state'
  | 'waiting'
  | 'active'
  | 'reachable'
  | 'caughtUp'
  | 'loading'
  | 'commitSent'
  | 'lacking'
  | 'sending'
  | 'settling'
> & { readonly inFlight: readonly InFlight[] }

/** What a leader knows of one peer (Figure 2: nextIndex, matchIndex), and what it has sent it. */
export class Progress {
  /** the peer's log equals ours up to here, durably; never decreases */
  match: LogIndex = asLogIndex(0)
  /** first entry to send next; always above `match` */
  next: LogIndex
  /**
   * `probe`: looking for the match, one message at a time, the next one after an answer or a
   * heartbeat's answer. `replicate`: a stream, as far as the window allows. `snapshot`: what the
   * peer needs next is no longer in the log; nothing is sent but a snapshot, until it went out or an
   * answer shows that the log reconnects.
   */
  state: 'probe' | 'replicate' | 'snapshot' = 'probe'
  /** in `probe`: a message is out */
  waiting = false
  /** heard from since the last check of the quorum; a new peer may still be dialling */
  active = true
  /** false from when the transport lost the connection until the peer is heard again */
  reachable = true
  /** of a learner: for how many checks in a row it has been near the end of the log */
  caughtUp = 0
  /** index that is being read from disk for this peer; null: none */
  loading: LogIndex | null = null
  /** the peer's machine needs a snapshot of this index or a later one, whatever its log holds; 0: none */
  lacking: LogIndex = asLogIndex(0)
  /** a snapshot is on its way; one at a time */
  sending = false
  /** heartbeats for which what the peer lacks is not believed: a snapshot went out, or failed to */
  settling = 0
  /** highest commit index that was told to the peer in a message that proves it */
  commitSent: LogIndex = asLogIndex(0)
  #inFlight: InFlight[] = []
  #inFlightBytes = 0

  constructor(next: LogIndex) {
    this.next = next
  }

  static from({ inFlight, ...fields }: ProgressImage): Progress {
    const progress = Object.assign(new Progress(fields.next), fields)
    progress.#inFlight = [...inFlight]
    progress.#inFlightBytes = inFlight.reduce((sum, { bytes }) => sum + bytes, 0)
    return progress
  }

  image(): ProgressImage {
    return { ...this, inFlight: [...this.#inFlight] }
  }

  get idle(): boolean {
    return this.#inFlight.length === 0
  }

  /** Nothing more may be sent before an answer. */
  paused(window: Window): boolean {
    if (this.loading !== null || this.state === 'snapshot') return true
    if (this.state === 'probe') return this.waiting
    return this.#inFlight.length >= window.messagesMax || this.#inFlightBytes >= window.bytesMax
  }

  /** Entries up to `last` went out. */
  sent(last: LogIndex, bytes: number): void {
    if (this.state === 'probe') {
      this.waiting = true
      return
    }
    assert(last >= this.next, 'a stream only moves forward')
    this.next = asLogIndex(last + 1)
    this.#inFlight.push({ last, bytes })
    this.#inFlightBytes += bytes
  }

  /**
   * The peer holds everything up to `match`.
   * @param base what the leader's log was compacted up to
   */
  matched(match: LogIndex, base: LogIndex): void {
    if (match > this.match) this.match = match
    if (this.next <= this.match) this.next = asLogIndex(this.match + 1)
    if (this.state === 'probe') this.#becomeReplicate()
    if (this.state === 'snapshot' && this.match >= base) this.#becomeReplicate()
    let done = 0
    while (done < this.#inFlight.length && (this.#inFlight[done] as InFlight).last <= match) {
      this.#inFlightBytes -= (this.#inFlight[done] as InFlight).bytes
      done++
    }
    if (done > 0) this.#inFlight.splice(0, done)
  }

  /** Starts to look for the match again from `next`. */
  becomeProbe(next: LogIndex): void {
    this.state = 'probe'
    this.waiting = false
    this.next = asLogIndex(Math.max(next, this.match + 1))
    this.#inFlight = []
    this.#inFlightBytes = 0
  }

  /** What it needs next is no longer in the log. */
  becomeSnapshot(): void {
    this.becomeProbe(this.next)
    this.state = 'snapshot'
  }

  #becomeReplicate(): void {
    this.state = 'replicate'
    this.waiting = false
    this.next = asLogIndex(this.match + 1)
  }
}
