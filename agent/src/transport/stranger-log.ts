import type { NodeId } from '../raft/types.ts'
import type { TcpContext } from './tcp-context.ts'

const LINE_CHARACTERS_MAX = 900
const PAUSE_MS = 1_000
/** The same again, from the same host. */
const REPEAT_MS = 60_000
const NAMES_MAX = 64

/** Log lines that others can cause: bounded in length and in number, whatever they send. */
export class StrangerLog {
  readonly #context: Pick<TcpContext, 'clock' | 'log'>
  readonly #refused = new Map<NodeId, string>()
  /** when each host and reason had its last line */
  readonly #told = new Map<string, number>()
  #lastAt = Number.NEGATIVE_INFINITY
  #suppressed = 0

  constructor(context: Pick<TcpContext, 'clock' | 'log'>) {
    this.#context = context
  }

  /** Somebody who is no peer: at most one line a second, and one a minute for the same of one host. */
  stranger(address: string, reason: string): void {
    const now = this.#context.clock.now()
    const what = `${address.replace(/:\d+$/, '')} ${reason.slice(0, 100)}`
    const repeated = now - (this.#told.get(what) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS
    if (repeated || now - this.#lastAt < PAUSE_MS) {
      this.#suppressed++
      return
    }
    if (this.#told.size >= NAMES_MAX) this.#told.clear()
    this.#told.set(what, now)
    const more = this.#suppressed === 0 ? '' : ` (and ${this.#suppressed} more since the last line)`
    this.#lastAt = now
    this.#suppressed = 0
    this.#write(`closed a connection from ${address}${more}: ${reason}`)
  }

  /** A node of this cluster that is not let in: once per reason. */
  refused(peer: NodeId, reason: string): void {
    if (this.#refused.get(peer) === reason) return
    if (this.#refused.size >= NAMES_MAX) this.#refused.clear()
    this.#refused.set(peer, reason)
    this.#write(`refused ${peer}: ${reason}`)
  }

  /** The next refusal of this node is news again. */
  accepted(peer: NodeId): void {
    this.#refused.delete(peer)
  }

  #write(line: string): void {
    this.#context.log('warn', line.slice(0, LINE_CHARACTERS_MAX))
  }
}
