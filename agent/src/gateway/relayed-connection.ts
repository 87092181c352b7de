import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Asked, readAsked, Turn } from './turn.ts'

/** A lane to a node; null: there is none, and nothing has left. @param take called once, now or later */
export type WayTo = (node: string, take: (way: Way | null) => void) => void

/** `isRetired`: nothing new is to begin on it; 'retire' tells when that comes true. */
export type Way = Duplex & { readonly isRetired?: boolean }

/** nginx takes it as a sign that nothing has happened, and asks anew who leads. */
const NOT_TAKEN =
  'HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/**
 * A connection of nginx's, which outlives those to other nodes: each request goes where it says, and once. One whose
 * bytes have left is never sent again: without its answer the connection ends, and nobody knows what became of it.
 */
export class RelayedConnection {
  readonly #near: Socket
  readonly #wayTo: WayTo
  /** Where the latest request went. */
  #way: Way | null = null
  #to = ''
  #turn: Turn | null = null
  /** came of a request whose head is not complete, or which has no way yet */
  #begun: Buffer = Buffer.alloc(0)
  #isWaiting = false
  #isRefused = false
  #takesNoMore = false
  #isFinishing = false

  constructor(near: Socket, wayTo: WayTo) {
    this.#near = near
    this.#wayTo = wayTo
    near.on('data', this.#onAsked)
    near.on('drain', () => this.#way?.resume())
    near.on('error', ignore)
    near.on('close', () => this.#leave())
  }

  /** What comes from now on is refused, so that nginx has a word of it before the connection ends. */
  takeNoMore(): void {
    this.#takesNoMore = true
  }

  /** Ends with the answer that is under way. */
  finish(): void {
    this.#isFinishing = true
    if (this.#turn === null && this.#begun.length === 0) this.destroy()
  }

  destroy(): void {
    this.#near.destroy()
  }

  readonly #onAsked = (chunk: Buffer): void => {
    if (this.#isRefused) return
    // What comes behind a request whose answer has begun is another one: nginx waits for answers.
    if (this.#turn?.mayBeOver) this.#endTurn()
    if (this.#turn === null) this.#begin(chunk)
    else this.#goOn(this.#turn, chunk)
  }

  /** Of a request that has its answer already only what belongs to it: the next one may come with its end. */
  #goOn(turn: Turn, chunk: Buffer): void {
    const own = turn.isAnswered ? chunk.subarray(0, turn.toCome) : chunk
    if (!turn.asked(own.length)) {
      this.destroy()
      return
    }
    if (this.#isWaiting) this.#begun = Buffer.concat([this.#begun, own])
    else this.#pass(own)
    const rest = chunk.subarray(own.length)
    if (turn.isOver) this.#endTurn()
    if (rest.length > 0) this.#onAsked(rest)
    else if (turn.isOver) this.#endIfFinishing()
  }

  #begin(chunk: Buffer): void {
    this.#begun = this.#begun.length === 0 ? chunk : Buffer.concat([this.#begun, chunk])
    let asked: Asked | null
    try {
      asked = readAsked(this.#begun)
    } catch {
      this.destroy()
      return
    }
    if (asked === null) return
    if (this.#takesNoMore) {
      this.#refuse()
      return
    }
    this.#turn = new Turn(asked.bytes)
    if (!this.#turn.asked(this.#begun.length)) this.destroy()
    else if (this.#to === asked.to && isGood(this.#way)) this.#passBegun()
    else this.#seek(asked.to)
  }

  #seek(to: string): void {
    this.#leave()
    this.#to = to
    this.#isWaiting = true
    this.#near.pause()
    this.#wayTo(to, way => {
      this.#isWaiting = false
      if (this.#near.destroyed) way?.destroy()
      else if (way === null) this.#refuse()
      else {
        this.#join(way)
        this.#near.resume()
        this.#passBegun()
      }
    })
  }

  #join(way: Way): void {
    this.#way = way
    way.on('data', (chunk: Buffer) => this.#onAnswered(chunk))
    way.on('drain', () => this.#near.resume())
    way.on('error', ignore)
    way.on('end', () => this.#onLost(way))
    way.on('close', () => this.#onLost(way))
    way.on('retire', () => {
      if (this.#way === way && this.#turn === null) this.#leave()
    })
  }

  #passBegun(): void {
    const begun = this.#begun
    this.#begun = Buffer.alloc(0)
    this.#pass(begun)
  }

  #pass(chunk: Buffer): void {
    if (this.#way?.write(chunk) === false) this.#near.pause()
  }

  #onAnswered(chunk: Buffer): void {
    const turn = this.#turn
    // Nobody has asked: what it says next would be taken for an answer.
    if (turn === null) {
      this.destroy()
      return
    }
    turn.answered(chunk)
    if (!this.#near.write(chunk)) this.#way?.pause()
    if (!turn.isOver) return
    this.#endTurn()
    this.#endIfFinishing()
  }

  #endTurn(): void {
    this.#turn = null
    if (!isGood(this.#way)) this.#leave()
  }

  #endIfFinishing(): void {
    if (this.#isFinishing) this.#near.destroySoon()
  }

  /** An answer that only its sender knows the end of ends here too. */
  #onLost(way: Way): void {
    if (this.#way !== way) return
    this.#leave()
    if (this.#turn !== null) this.#near.destroySoon()
  }

  #leave(): void {
    const way = this.#way
    this.#way = null
    this.#to = ''
    if (way === null) return
    way.destroy()
    // It may have waited for room on that way.
    this.#near.resume()
  }

  /** What still comes is let pass: a socket that is closed over it would take the answer along. */
  #refuse(): void {
    this.#isRefused = true
    this.#near.end(NOT_TAKEN)
    this.#near.resume()
  }
}

function isGood(way: Way | null): boolean {
  return way !== null && way.isRetired !== true && way.writable && !way.destroyed
}

/** 'close' comes after it. */
function ignore(): void {}
