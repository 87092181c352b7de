import type { Effect, Persist } from './effect.ts'
import type { RaftLog } from './log.ts'
import type { Message } from './message.ts'
import type { Entry, HardState, LogIndex, NodeId, Term } from './types.ts'

interface Vote {
  readonly term: Term
  readonly vote: NodeId | null
}

/** Between two steps nothing else is left. */
export interface OutboxImage {
  readonly issued: Vote
  readonly durable: Vote
}

const same = (a: Vote, b: Vote): boolean => a.term === b.term && a.vote === b.vote

/**
 * Collects what one step asks for and decides which messages may overtake the disk:
 * nothing of term T leaves before {T, vote} is durable; an accepted append also waits for its
 * entries; only a leader's appends and heartbeats go at once, since T was durable before it won.
 */
export class Outbox {
  #effects: Effect[] = []
  #afterVote: Message[] = []
  #afterEntries: { message: Message; index: LogIndex }[] = []
  #appended: Entry[] = []
  #truncateFrom: LogIndex | null = null
  /** term and vote of the newest persist that was issued */
  #issued: Vote
  /** term and vote of the newest persist that has completed */
  #durable: Vote

  constructor(recovered: Vote) {
    this.#issued = recovered
    this.#durable = recovered
  }

  static from({ issued, durable }: OutboxImage): Outbox {
    const out = new Outbox(issued)
    out.#durable = durable
    return out
  }

  image(): OutboxImage {
    return { issued: this.#issued, durable: this.#durable }
  }

  get durable(): Vote {
    return this.#durable
  }

  add(effect: Effect): void {
    this.#effects.push(effect)
  }

  /** For a leader's append or heartbeat. */
  sendNow(message: Message): void {
    this.#effects.push({ kind: 'send', message })
  }

  /** For an append that only tells the commit index. */
  sendSoon(message: Message): void {
    this.#effects.push({ kind: 'send', message, patient: true })
  }

  /** For everything that speaks in the name of a term or a vote. */
  sendAfterVote(message: Message): void {
    this.#afterVote.push(message)
  }

  /** For "I hold everything up to `index`". */
  sendAfterEntries(message: Message, index: LogIndex): void {
    this.#afterEntries.push({ message, index })
  }

  /** To be called after the log itself was truncated and appended to, once a step. */
  wrote(truncateFrom: LogIndex | null, entries: readonly Entry[]): void {
    this.#truncateFrom ??= truncateFrom
    this.#appended.push(...entries)
  }

  /** A persist completed: its term and vote are on disk. */
  persisted(vote: Vote): void {
    this.#durable = vote
  }

  /** Ends a step: all its effects, with at most one persist. */
  drain(hardState: HardState, log: RaftLog): Effect[] {
    const persist = this.#persist(hardState, log)
    if (persist !== null) this.#effects.push(persist)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  #persist(hardState: HardState, log: RaftLog): Persist | null {
    const sync =
      !same(this.#issued, hardState) || this.#appended.length > 0 || this.#truncateFrom !== null
    const whenDurable = this.#hold(same(this.#durable, hardState), log)
    if (!sync && whenDurable.length === 0) return null
    const persist: Persist = {
      kind: 'persist',
      sync,
      hardState,
      truncateFrom: this.#truncateFrom,
      entries: this.#appended,
      receipt: { term: hardState.term, vote: hardState.vote, last: log.last },
      whenDurable,
    }
    this.#issued = hardState
    this.#appended = []
    this.#truncateFrom = null
    return persist
  }

  /** Sends what waits for nothing; returns what has to wait. */
  #hold(voteDurable: boolean, log: RaftLog): Message[] {
    const held: Message[] = []
    for (const message of this.#afterVote) {
      if (voteDurable) this.sendNow(message)
      else held.push(message)
    }
    for (const { message, index } of this.#afterEntries) {
      if (voteDurable && index <= log.durable) this.sendNow(message)
      else held.push(message)
    }
    this.#afterVote = []
    this.#afterEntries = []
    return held
  }
}
