import type { Socket } from 'node:net'
import type { Api } from '../exchange.ts'
import { CLIENT_LEFT } from '../measures.ts'
import type { Reply } from '../reply.ts'
import type { AnswerWriter } from './answer-text.ts'
import { type Ahead, Line } from './line.ts'
import { PlainHead } from './plain-head.ts'
import {
  type Asked,
  answerTo,
  askedBy,
  isRefusedNow,
  mayComeLater,
  type Served,
  serve,
} from './served.ts'
import { Unread } from './unread.ts'

/** What a client sends before it has its answers is left in the kernel above this. */
const UNREAD_BYTES_MAX = 16 * 1024

/** What a connection needs of the door that it came through. */
export interface Desk {
  readonly api: Api
  readonly writer: AnswerWriter
  readonly ahead: Ahead
  /** Whether answers should close their connections, since the server ends. */
  closing(): boolean
  /** Takes the connection to Node, with what came and was not answered. `ended`: nothing comes after it. */
  handOver(from: FastConnection, bytes: Buffer, ended: boolean): void
  closed(connection: FastConnection): void
}

/**
 * A connection while all that comes on it are requests that are surely well-formed: begun in their order, several at once
 * where that makes no difference, and answered in their order. With anything else it becomes Node's, for good.
 */
export class FastConnection {
  readonly socket: Socket
  /** monotonic ms */
  readonly beganAt = performance.now()
  readonly #desk: Desk
  readonly #unread = new Unread()
  readonly #line: Line
  /** The first of what is unread, where its head is whole. */
  #next: Asked | null = null
  /** The first of what is unread is not mine. */
  #isForeign = false
  /** What is unread is a request whose body has not come wholly, and counts as such. */
  #isComing = false
  /** will happen in this turn */
  #flushes = false
  /** will happen in the next turn */
  #advances = false
  #quietSince = this.beganAt
  #hasAnswered = false
  /** for the rest of a request, at the latest look */
  #waited = false
  /** It is Node's, or closed. */
  #isGone = false

  constructor(socket: Socket, desk: Desk) {
    this.socket = socket
    this.#desk = desk
    this.#line = new Line(desk.ahead)
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', ignore)
    socket.on('close', this.#onClose)
  }

  /** Since when nothing of a request is here, monotonic ms; null: something is. */
  get quietSince(): number | null {
    return this.#isIdle && this.#unread.bytes === 0 ? this.#quietSince : null
  }

  /** The rest of a request is waited for, and nothing else. */
  get #isWaiting(): boolean {
    return this.#isIdle && this.#unread.bytes > 0 && this.socket.writable
  }

  /** Asked at each look: whether the rest of the same request was waited for at the look before. */
  waitsStill(): boolean {
    const waited = this.#waited
    this.#waited = this.#isWaiting
    return waited && this.#waited
  }

  get hasAnswered(): boolean {
    return this.#hasAnswered
  }

  /** All that was begun has its answer, and the answers have left. */
  get #isIdle(): boolean {
    return this.#line.length === 0 && !this.#line.isLeaving
  }

  /** Leaves the connection to Node; not while a request is answered. */
  handOver(ended = false): void {
    const { socket } = this
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', ignore)
    socket.off('close', this.#onClose)
    this.#isGone = true
    this.#desk.api.bodies.release(this)
    // What came while it rested goes before what Node reads itself, past the stream.
    const rest: Buffer | null = socket.readableLength > 0 ? socket.read() : null
    if (rest !== null) this.#unread.push(rest)
    if (socket.isPaused()) socket.resume()
    this.#desk.handOver(this, this.#unread.takeAll(), ended)
  }

  readonly #onData = (chunk: Buffer): void => {
    const fits = !this.#isComing || this.#desk.api.bodies.take(this, chunk.length)
    this.#unread.push(chunk)
    if (fits) this.#advance()
    else this.handOver()
  }

  /** Begins what may begin. */
  #advance(): void {
    const { socket } = this
    // Behind an answer that was the last one nothing is begun: a client that sends it again must have it once.
    if (!socket.writable) return
    const putOff = this.#line.takePutOff()
    if (putOff !== null) this.#ask(putOff)
    while (this.#unread.bytes > 0 && this.#mayBegin()) {
      if (this.#next === null && !this.#look()) break
      if (!this.#beginNext()) break
    }
    if (this.#isForeign && this.#isIdle) {
      this.handOver()
      return
    }
    if (this.#unread.bytes > UNREAD_BYTES_MAX && !this.#isIdle) socket.pause()
    else if (socket.isPaused()) socket.resume()
  }

  /** So much for this turn: the other connections have theirs. */
  #advanceSoon(): void {
    if (this.#advances || (this.#unread.bytes === 0 && !this.#line.hasPutOff)) return
    this.#advances = true
    setImmediate(this.#onNextTurn)
  }

  readonly #onNextTurn = (): void => {
    this.#advances = false
    if (!this.#isGone) this.#advance()
  }

  /**
   * Not while answers wait for their reader, so that nobody has many kept here. Once the server ends, only what can be
   * the last.
   */
  #mayBegin(): boolean {
    if (this.#isForeign || this.#line.hasPutOff) return false
    return this.#isIdle || (!this.#line.isLeaving && !this.#desk.closing())
  }

  /** Reads the head of what is next. False: it is not here, or none of mine. */
  #look(): boolean {
    const plain = new PlainHead()
    const found = plain.read(this.#unread.front())
    if (found === 'whole') this.#next = askedBy(this.#desk.api.limits, plain)
    this.#isForeign = found === 'other' || (found === 'whole' && this.#next === null)
    return this.#next !== null
  }

  /** False: it has to wait. */
  #beginNext(): boolean {
    const next = this.#next as Asked
    const { bytes, contentLength } = next.plain
    const { api } = this.#desk
    if (bytes + contentLength > this.#unread.bytes) {
      if (!this.#isComing) this.#awaitBody(next)
      return false
    }
    if (!this.#line.admits(next.order, bytes + contentLength)) return false
    this.#next = null
    if (this.#isComing) api.bodies.release(this)
    this.#isComing = false
    const body = this.#unread.take(bytes + contentLength).subarray(bytes)
    this.#begin(serve(api, this.socket, next, body))
    return true
  }

  /** Behind others it is among what is unread; by itself its memory is counted. */
  #awaitBody(next: Asked): void {
    const { api } = this.#desk
    this.#isForeign = !mayComeLater(next)
    if (this.#isForeign || !this.#isIdle) return
    this.#isComing =
      !isRefusedNow(api, this.socket, next) && api.bodies.take(this, this.#unread.bytes)
    this.#isForeign = !this.#isComing
  }

  #begin(served: Served): void {
    this.#line.begin(served)
    this.#waited = false
    this.#desk.api.measures.inFlight++
    this.#ask(served)
  }

  #ask(served: Served): void {
    const reply = answerTo(this.#desk.api, served)
    if (reply instanceof Promise) void reply.then(reply => this.#settle(served, reply))
    else this.#settle(served, reply)
  }

  #settle(served: Served, reply: Reply): void {
    if (this.#isGone) return
    this.#line.settled(served, reply)
    this.#advanceSoon()
    if (this.#flushes) return
    if (this.#line.length === 1 && this.#unread.bytes === 0) {
      this.#flush()
      return
    }
    // What else is answered in this turn leaves with it.
    this.#flushes = true
    process.nextTick(this.#onTurnsEnd)
  }

  readonly #onTurnsEnd = (): void => {
    this.#flushes = false
    if (!this.#isGone) this.#flush()
  }

  /** Writes the answers that are next, as many as the client takes and a few more. */
  #flush(): void {
    const { socket } = this
    // Else the client has left; of an answer to nobody no more is said than that.
    while (socket.writable) {
      const served = this.#line.takeSettled(socket.writableLength)
      if (served.length > 0) this.#write(served)
      else {
        this.#line.putOff()
        return
      }
    }
  }

  #write(served: readonly Served[]): void {
    const { socket } = this
    const { writer, api } = this.#desk
    const closes = this.#line.length === 0 && this.#desk.closing()
    const count = writer.write(socket, served, { closes, done: this.#onLeft })
    for (const each of served.slice(0, count)) each.code = each.reply?.status ?? CLIENT_LEFT
    if (count < served.length) {
      api.log.error({}, 'an answer could not be written')
      if (count === 0) socket.destroy()
    }
    if (closes || count < served.length) socket.destroySoon()
  }

  /** The kernel has the answers that were written first of those that it had not. */
  readonly #onLeft = (): void => {
    if (this.#isGone || this.socket.destroyed) return
    const now = performance.now()
    this.#quietSince = now
    this.#hasAnswered = true
    for (const served of this.#line.left()) this.#count(served, now)
    this.#advanceSoon()
  }

  readonly #onEnd = (): void => {
    this.#flush()
    if (this.#isWaiting) this.handOver(true)
    // Node takes a client that ends its side for one that has left.
    else this.socket.end()
  }

  readonly #onClose = (): void => {
    this.#isGone = true
    this.#desk.api.bodies.release(this)
    const now = performance.now()
    for (const served of this.#line.takeAll()) this.#count(served, now)
    this.#desk.closed(this)
  }

  /** What was asked has its end, whichever. */
  #count({ request, route, began, code }: Served, now: number): void {
    const { measures, bodies } = this.#desk.api
    measures.inFlight--
    bodies.release(request)
    measures.ended(route, request.method, { code, seconds: (now - began) / 1000 })
  }
}

/** 'close' comes after it. */
function ignore(): void {}
