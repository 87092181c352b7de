import type { Socket } from 'node:net'
import type { Api } from '../exchange.ts'
import { CLIENT_LEFT } from '../measures.ts'
import type { Reply } from '../reply.ts'
import type { AnswerWriter } from './answer-text.ts'
import { PlainHead } from './plain-head.ts'
import { answerTo, type Served, serve, waitsForBody } from './served.ts'

/** What a client sends before it has its answer is left in the kernel above this. */
const BEHIND_BYTES_MAX = 16 * 1024

/** What a connection needs of the door that it came through. */
export interface Desk {
  readonly api: Api
  readonly writer: AnswerWriter
  /** Whether answers should close their connections, since the server ends. */
  closing(): boolean
  /** Takes the connection to Node, with what came and was not answered. `ended`: nothing comes after it. */
  handOver(from: FastConnection, bytes: readonly Buffer[], ended: boolean): void
  closed(connection: FastConnection): void
}

/** A request whose body has not come wholly. */
interface Coming {
  readonly head: PlainHead
  readonly chunks: Buffer[]
  bytes: number
}

/**
 * A connection while all that comes on it are requests that are surely well-formed: answers one after the other. With
 * anything else it becomes Node's, for good.
 */
export class FastConnection {
  readonly socket: Socket
  /** monotonic ms */
  readonly beganAt = performance.now()
  readonly #desk: Desk
  /** is being answered */
  #served: Served | null = null
  /** of its answer */
  #status = CLIENT_LEFT
  #coming: Coming | null = null
  /** came while an earlier request had no answer */
  #behind: Buffer[] = []
  #behindBytes = 0
  #quietSince = this.beganAt
  #hasAnswered = false

  constructor(socket: Socket, desk: Desk) {
    this.socket = socket
    this.#desk = desk
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', ignore)
    socket.on('close', this.#onClose)
  }

  /** Since when nothing of a request is here, monotonic ms; null: something is. */
  get quietSince(): number | null {
    return this.#served === null && this.#coming === null ? this.#quietSince : null
  }

  /** The body of a request is waited for. */
  get isWaiting(): boolean {
    return this.#coming !== null
  }

  get hasAnswered(): boolean {
    return this.#hasAnswered
  }

  /** Leaves the connection to Node; not while a request is answered. */
  handOver(): void {
    this.#handOver(this.#coming?.chunks ?? [], false)
  }

  #handOver(bytes: readonly Buffer[], ended: boolean): void {
    const { socket } = this
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', ignore)
    socket.off('close', this.#onClose)
    if (this.#coming !== null) this.#desk.api.bodies.release(this)
    this.#coming = null
    this.#desk.handOver(this, bytes, ended)
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#served !== null) this.#keep(chunk)
    else if (this.#coming !== null) this.#more(this.#coming, chunk)
    else this.#begin(chunk)
  }

  #keep(chunk: Buffer): void {
    this.#behind.push(chunk)
    this.#behindBytes += chunk.length
    if (this.#behindBytes > BEHIND_BYTES_MAX) this.socket.pause()
  }

  #begin(chunk: Buffer): void {
    const head = new PlainHead()
    if (!head.read(chunk)) {
      this.#handOver([chunk], false)
      return
    }
    const missing = head.bytes + head.contentLength - chunk.length
    if (missing === 0) this.#serve(head, [chunk])
    else if (missing > 0 && waitsForBody(this.#desk.api, this.socket, head)) {
      const coming: Coming = { head, chunks: [], bytes: 0 }
      this.#coming = coming
      this.#more(coming, chunk)
    } else this.#handOver([chunk], false)
  }

  #more(coming: Coming, chunk: Buffer): void {
    const { head, chunks } = coming
    const { bodies } = this.#desk.api
    chunks.push(chunk)
    coming.bytes += chunk.length
    const missing = head.bytes + head.contentLength - coming.bytes
    if (missing < 0 || !bodies.take(this, chunk.length)) this.handOver()
    else if (missing === 0) {
      bodies.release(this)
      this.#coming = null
      this.#serve(head, chunks)
    }
  }

  #serve(head: PlainHead, chunks: readonly Buffer[]): void {
    const { api } = this.#desk
    const served = serve(api, this.socket, head, chunks)
    if (served === null) {
      this.#handOver(chunks, false)
      return
    }
    this.#served = served
    this.#status = CLIENT_LEFT
    api.measures.inFlight++
    const reply = answerTo(api, served)
    if (reply instanceof Promise) void reply.then(this.#onReply)
    else this.#onReply(reply)
  }

  readonly #onReply = (reply: Reply): void => {
    const { socket } = this
    // The client has left; of an answer to nobody no more is said than that.
    if (this.#served === null || !socket.writable) return
    const { writer, api } = this.#desk
    const closes = this.#desk.closing()
    const bodiless = this.#served.request.method === 'HEAD'
    try {
      writer.write(socket, reply, { closes, bodiless }, this.#onWritten)
      this.#status = reply.status
      if (closes) socket.destroySoon()
    } catch (error) {
      api.log.error({ err: error }, 'an answer could not be written')
      socket.destroy()
    }
  }

  /** The next request begins when the answer has left: nobody has more than one answer kept here. */
  readonly #onWritten = (): void => {
    if (this.#served === null || this.socket.destroyed) return
    this.#quietSince = performance.now()
    this.#count(this.#served, this.#quietSince)
    this.#hasAnswered = true
    // Behind an answer that was the last one nothing is begun: a client that sends it again must have it once.
    if (this.#behind.length > 0 && this.socket.writable) this.#resume()
  }

  #resume(): void {
    const behind = Buffer.concat(this.#behind)
    this.#behind = []
    this.#behindBytes = 0
    if (this.socket.isPaused()) this.socket.resume()
    this.#begin(behind)
  }

  readonly #onEnd = (): void => {
    if (this.#coming !== null) this.#handOver(this.#coming.chunks, true)
    // Node takes a client that ends its side for one that has left.
    else this.socket.end()
  }

  readonly #onClose = (): void => {
    if (this.#coming !== null) this.#desk.api.bodies.release(this)
    if (this.#served !== null) this.#count(this.#served, performance.now())
    this.#desk.closed(this)
  }

  /** What was asked has its end, whichever. */
  #count({ request, route, began }: Served, now: number): void {
    const { measures, bodies } = this.#desk.api
    this.#served = null
    measures.inFlight--
    bodies.release(request)
    const seconds = (now - began) / 1000
    measures.ended(route, request.method, { code: this.#status, seconds })
  }
}

/** 'close' comes after it. */
function ignore(): void {}
