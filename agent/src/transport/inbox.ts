import type { Socket } from 'node:net'
import type { Cancel } from '../clock/clock.ts'
import { DecodeError } from '../lib/bytes.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import { answerFrame, decodeChunk } from './chunk-codec.ts'
import { BODY, decodeMessages, encodeFrame, FrameReader } from './frame.ts'
import {
  decodeOpening,
  GREETING_BYTES_MAX,
  type Greeting,
  greetingFrame,
  objection,
  refusalFrame,
  versionObjection,
} from './handshake.ts'
import { StrangerLog } from './stranger-log.ts'
import { describeError, type TcpContext } from './tcp-context.ts'
import {
  type ChunkAnswer,
  type MetPeer,
  NOTICE_BYTES_MAX,
  type SnapshotChunk,
} from './transport.ts'
import type { Arrival, Entrance } from './wire.ts'

const PONG = encodeFrame(body => body.u8(BODY.pong))
/** A peer that reads not even the pongs is gone. */
const PONG_BYTES_MAX = 4096

/** What an inbox tells its transport. */
export interface InboxHandler {
  onMessages(messages: readonly Message[]): void
  onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer>
  onNotice(from: NodeId, notice: Uint8Array): void
  /** This peer is verified and has connected: dialling it may work now. */
  onAccepted(peer: MetPeer): void
  /** A node of this cluster, as it has proven, speaks HTTP on this connection. */
  onHttp(socket: Socket, peer: NodeId): void
  /** Its connection has ended, and no newer one has taken its place. */
  onLeft(peer: NodeId): void
}

/** An accepted connection. */
interface Visitor {
  readonly socket: Socket
  readonly address: string
  readonly reader: FrameReader
  readonly cancelHandshake: Cancel
  /** whom the connection itself proves; null: nobody */
  readonly proven: NodeId | null
  /** null until verified */
  peer: NodeId | null
  /** of the verified peer */
  incarnation: string
  verifying: boolean
  /** something arrived since the last tick */
  heard: boolean
  silentTicks: number
  /** its chunk is not answered yet */
  answering: boolean
}

/** What arrived together from a verified peer. */
interface Delivery {
  readonly messages: Message[]
  readonly notices: Uint8Array[]
  chunk: SnapshotChunk | null
}

/** Accepts connections, verifies who dialled, and receives their messages. */
export class Inbox {
  readonly #context: TcpContext
  readonly #handler: InboxHandler
  readonly #entrance: Entrance
  readonly #log: StrangerLog
  /** not verified yet, oldest first */
  readonly #strangers = new Set<Visitor>()
  /** one a peer: a newer one replaces the older */
  readonly #peers = new Map<NodeId, Visitor>()

  constructor(context: TcpContext, handler: InboxHandler) {
    this.#context = context
    this.#handler = handler
    this.#log = new StrangerLog(context)
    const { wire, clock, limits } = context
    this.#entrance = wire.entrance(
      {
        onArrival: arrival => this.#onArrival(arrival),
        onTurnedAway: (address, reason) => this.#log.stranger(address, reason),
      },
      { ...limits, after: (ms, task) => clock.after(ms, task) },
    )
  }

  /** Resolves with the port. Rejects in words when the address cannot be bound. */
  listen({ host, port }: HostPort): Promise<number> {
    const { server } = this.#entrance
    return new Promise((resolve, reject) => {
      server.on('error', cause => {
        const where = `${host === '' ? '*' : host}:${port}`
        const words = describeError(cause)
        if (server.listening) this.#log.stranger(where, `not accepted: ${words}`)
        else reject(new Error(`cannot listen for peers on ${where}: ${words}`, { cause }))
      })
      server.listen({ ...(host === '' ? {} : { host }), port }, () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  /** Every `pingMs`: tells each peer that it was heard, and gives up those that fell silent. */
  tick(): void {
    for (const visitor of this.#peers.values()) {
      if (visitor.heard) {
        visitor.heard = false
        visitor.silentTicks = 0
        visitor.socket.write(PONG)
      } else {
        visitor.silentTicks++
      }
      const dead = visitor.silentTicks > this.#context.limits.silentPingsMax
      if (dead || visitor.socket.writableLength > PONG_BYTES_MAX) visitor.socket.destroy()
    }
  }

  /** The membership has changed: who is no member any more, or not the one that was meant, is sent away. */
  review(): void {
    const { admission } = this.#context
    for (const [peer, visitor] of this.#peers) {
      const reason = admission.objection(peer, 0)
      if (reason !== null) {
        this.#sendAway(visitor, peer, reason)
        continue
      }
      admission.verify(peer, visitor.incarnation).then(
        refusal => {
          if (refusal !== null) this.#sendAway(visitor, peer, refusal, true)
        },
        error => this.#sendAway(visitor, peer, describeError(error)),
      )
    }
  }

  /** What connections were opened with has changed: those that it does not vouch for are to be opened anew. */
  recheck(): void {
    for (const visitor of [...this.#strangers, ...this.#peers.values()]) {
      if (!this.#context.wire.trusts(visitor.socket)) {
        this.#dismiss(visitor, 'what it has shown is not trusted any more')
      }
    }
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      this.#entrance.server.close(() => resolve())
      this.#entrance.dismissAll()
      for (const visitor of [...this.#strangers, ...this.#peers.values()]) visitor.socket.destroy()
    })
  }

  #onArrival({ socket, proven, language }: Arrival): void {
    if (language === 'raft') this.#onVisit(socket, proven)
    else if (proven === null) socket.destroy()
    else this.#handler.onHttp(socket, proven)
  }

  #onVisit(socket: Socket, proven: NodeId | null): void {
    const { clock, limits } = this.#context
    const visitor: Visitor = {
      socket,
      address: `${socket.remoteAddress}:${socket.remotePort}`,
      reader: new FrameReader(GREETING_BYTES_MAX),
      cancelHandshake: clock.after(limits.handshakeMs, () => {
        this.#dismiss(visitor, `no greeting within ${limits.handshakeMs / 1000} s`)
      }),
      proven,
      peer: null,
      incarnation: '',
      verifying: false,
      heard: false,
      silentTicks: 0,
      answering: false,
    }
    this.#strangers.add(visitor)
    socket.on('data', chunk => this.#onData(visitor, chunk))
    socket.on('error', () => {})
    socket.on('end', () => socket.destroy())
    socket.on('close', () => this.#forget(visitor))
    const [oldest] = this.#strangers
    if (this.#strangers.size > limits.strangersMax && oldest !== undefined) {
      this.#dismiss(oldest, 'too many connections without a greeting')
    }
  }

  #forget(visitor: Visitor): void {
    visitor.cancelHandshake()
    this.#strangers.delete(visitor)
    const { peer } = visitor
    if (peer === null || this.#peers.get(peer) !== visitor) return
    this.#peers.delete(peer)
    this.#handler.onLeft(peer)
  }

  #onData(visitor: Visitor, chunk: Uint8Array): void {
    if (visitor.socket.destroyed) return
    visitor.heard = true
    const { peer } = visitor
    let delivery: Delivery | null = null
    try {
      if (peer === null) this.#onOpening(visitor, chunk)
      else delivery = this.#decode(visitor.reader.push(chunk), peer, visitor.answering)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.#dismiss(visitor, `${error.message}${resemblance(chunk)}`)
    }
    // Outside of the `try`: a fault of the core must stop the node.
    if (peer !== null && delivery !== null) this.#deliver(visitor, peer, delivery)
  }

  #deliver(visitor: Visitor, peer: NodeId, { messages, notices, chunk }: Delivery): void {
    if (messages.length > 0) this.#handler.onMessages(messages)
    for (const notice of notices) this.#handler.onNotice(peer, notice)
    if (chunk !== null) this.#answer(visitor, peer, chunk)
  }

  /** However long that takes, pings are answered meanwhile. */
  #answer(visitor: Visitor, peer: NodeId, chunk: SnapshotChunk): void {
    visitor.answering = true
    const answer = (answer: ChunkAnswer) => {
      visitor.answering = false
      if (!visitor.socket.destroyed) visitor.socket.write(answerFrame(answer))
    }
    this.#handler
      .onChunk(peer, chunk)
      .then(answer, error => answer({ kind: 'refused', why: describeError(error) }))
  }

  #decode(bodies: readonly Uint8Array[], from: NodeId, answering: boolean): Delivery {
    const direction = { from, to: this.#context.self.nodeId }
    const delivery: Delivery = { messages: [], notices: [], chunk: null }
    for (const body of bodies) {
      switch (body[0]) {
        case BODY.messages:
          for (const message of decodeMessages(body, direction)) delivery.messages.push(message)
          break
        case BODY.chunk:
          if (answering || delivery.chunk !== null) throw new DecodeError('a chunk too early')
          delivery.chunk = decodeChunk(body)
          break
        case BODY.notice:
          delivery.notices.push(noticeOf(body))
          break
        case BODY.ping:
          if (body.length > 1) throw new DecodeError('a ping with a body')
          break
        case BODY.refusal:
          throw new DecodeError(refusalText(body))
        default:
          throw new DecodeError(`unknown body ${body[0]}`)
      }
    }
    return delivery
  }

  #onOpening(visitor: Visitor, chunk: Uint8Array): void {
    if (visitor.verifying) throw new DecodeError('data before the welcome')
    const [body, ...more] = visitor.reader.push(chunk)
    if (body === undefined) return
    if (more.length > 0 || visitor.reader.buffered > 0)
      throw new DecodeError('data before the welcome')
    const opening = decodeOpening(body)
    const { self } = this.#context
    if (opening.kind === 'other-version') {
      this.#refuse(visitor, null, versionObjection(opening.version, self))
      return
    }
    if (opening.kind !== 'hello') throw new DecodeError('no hello')
    this.#onHello(visitor, opening)
  }

  #onHello(visitor: Visitor, hello: Greeting): void {
    const { self, admission, guests } = this.#context
    const { proven } = visitor
    if (proven !== null && proven !== hello.from) {
      this.#refuse(visitor, null, `${proven} calls itself ${hello.from}`)
      return
    }
    const reason = objection(hello, self, id => admission.objection(id, guests()))
    // Who is not of this cluster gets the lines of a stranger, so that no names fill the log.
    const named = hello.clusterId === self.clusterId ? hello.from : null
    if (reason !== null) {
      this.#refuse(visitor, named, reason)
      return
    }
    visitor.verifying = true
    admission.verify(hello.from, hello.incarnation).then(
      refusal => {
        if (visitor.socket.destroyed) return
        if (refusal === null) this.#accept(visitor, hello)
        else this.#refuse(visitor, named, refusal, true)
      },
      error => this.#refuse(visitor, named, describeError(error)),
    )
  }

  #accept(visitor: Visitor, hello: Greeting): void {
    const { from: id, incarnation, address, raftBind, gateway } = hello
    visitor.cancelHandshake()
    this.#strangers.delete(visitor)
    const older = this.#peers.get(id)
    this.#peers.set(id, visitor)
    if (older !== undefined) {
      // Ordinary after a broken network; for ever, it is two agents with one data directory.
      this.#log.stranger(older.address, `${id} has connected again, from ${visitor.address}`)
      older.socket.destroy()
    }
    visitor.peer = id
    visitor.incarnation = incarnation
    visitor.reader.bodyBytesMax = this.#context.limits.bodyBytesMax
    visitor.socket.write(greetingFrame('welcome', this.#context.self, id))
    this.#log.accepted(id)
    this.#handler.onAccepted({ id, incarnation, address, raftBind, gateway })
  }

  /** A verified peer. */
  #sendAway(visitor: Visitor, peer: NodeId, reason: string, stranger = false): void {
    if (visitor.socket.destroyed || this.#peers.get(peer) !== visitor) return
    this.#forget(visitor)
    this.#refuse(visitor, peer, reason, stranger)
  }

  /** Says why, since whoever it is speaks our language. */
  #refuse(visitor: Visitor, named: NodeId | null, reason: string, stranger = false): void {
    if (named === null) this.#log.stranger(visitor.address, reason)
    else this.#log.refused(named, reason)
    visitor.verifying = true
    visitor.socket.write(refusalFrame(reason, { stranger }))
    visitor.socket.destroySoon()
  }

  #dismiss(visitor: Visitor, reason: string): void {
    const { address, peer, socket } = visitor
    this.#log.stranger(peer === null ? address : `${peer} (${address})`, reason)
    this.#strangers.delete(visitor)
    socket.destroy()
  }
}

function noticeOf(body: Uint8Array): Uint8Array {
  if (body.length - 1 > NOTICE_BYTES_MAX) throw new DecodeError(`a notice of ${body.length} bytes`)
  return body.subarray(1)
}

/** A peer that was welcomed and then does not take part with us says why. */
function refusalText(body: Uint8Array): string {
  const opening = decodeOpening(body)
  return opening.kind === 'refusal' ? `refused by it: ${opening.reason}` : 'no refusal'
}

/** Helps whoever finds the line in the log: the usual visitors of a wrong port. */
function resemblance(chunk: Uint8Array): string {
  const start = Buffer.from(chunk.subarray(0, 8)).toString('latin1')
  if (/^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PRI) /.test(start)) return ' (looks like HTTP)'
  if (start.startsWith('SSH-')) return ' (looks like SSH)'
  return start.startsWith('\x16\x03') ? ' (looks like TLS)' : ''
}
