import type { Socket } from 'node:net'
import type { Cancel } from '../clock/clock.ts'
import { DecodeError } from '../lib/bytes.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import { answerFrame } from './chunk-codec.ts'
import { type Delivery, decodeDelivery, resemblance } from './delivery.ts'
import { BODY, encodeFrame, FrameReader, RENEW } from './frame.ts'
import {
  decodeOpening,
  GREETING_BYTES_MAX,
  type Greeting,
  greetingFrame,
  objection,
  refusalFrame,
  versionObjection,
} from './handshake.ts'
import { ProvenConnections } from './proven-connections.ts'
import { StrangerLog } from './stranger-log.ts'
import { describeError, type TcpContext } from './tcp-context.ts'
import type { ChunkAnswer, MetPeer, SnapshotChunk } from './transport.ts'
import type { Arrival, Entrance, Language } from './wire.ts'

const UNTRUSTED = 'what it has shown is not trusted any more'
const PONG = encodeFrame(body => body.u8(BODY.pong))
/** A peer that reads not even the pongs is gone. */
const PONG_BYTES_MAX = 4096

/** Of one peer: more than two have no purpose. */
const LEAVING_MAX = 4

/** What an inbox tells its transport. */
export interface InboxHandler {
  onMessages(messages: readonly Message[]): void
  onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer>
  onNotice(from: NodeId, notice: Uint8Array): void
  /** This peer is verified and has connected: dialling it may work now. */
  onAccepted(peer: MetPeer): void
  /** A node of this cluster, as it has proven, speaks something else than Raft on this connection. */
  onHttp(socket: Socket, peer: NodeId, language: Language): void
  /** Its connection has ended, and no newer one has taken its place. */
  onLeft(peer: NodeId): void
}

/** An accepted connection. */
interface Visitor {
  readonly socket: Socket
  readonly address: string
  readonly reader: FrameReader
  /** of its greeting; later of being replaced */
  cancelDeadline: Cancel
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
  /** a newer connection is to take its place: then it is read to its end */
  renewing: boolean
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
  /** Replaced, and read to their end; each with the one that is read afterwards, so that all comes in the order sent. */
  readonly #leaving = new Map<Visitor, Visitor>()
  /** that speak HTTP */
  readonly #http: ProvenConnections
  /** Of those, what is trusted no more. */
  readonly #ending = new WeakSet<Socket>()

  constructor(context: TcpContext, handler: InboxHandler) {
    this.#context = context
    this.#handler = handler
    this.#log = new StrangerLog(context)
    const { wire, clock, limits, admission } = context
    this.#http = new ProvenConnections(id => admission.isMember(id))
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
    for (const visitor of this.#leaving.keys()) visitor.socket.destroy()
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

  /**
   * What connections were opened with has changed. Whom it does not vouch for is told to open a new connection, and
   * dismissed when that takes longer than a greeting may.
   */
  recheck(): void {
    const { wire, clock, limits } = this.#context
    for (const visitor of this.#strangers) {
      if (!wire.trusts(visitor.socket)) this.#dismiss(visitor, UNTRUSTED)
    }
    for (const visitor of this.#peers.values()) {
      if (wire.trusts(visitor.socket)) continue
      visitor.socket.write(RENEW)
      this.#renew(visitor)
    }
    for (const socket of this.#http) {
      if (wire.trusts(socket) || this.#ending.has(socket)) continue
      this.#ending.add(socket)
      socket.once(
        'close',
        clock.after(limits.handshakeMs, () => socket.destroy()),
      )
    }
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      this.#entrance.server.close(() => resolve())
      this.#entrance.dismissAll()
      const visitors = [...this.#strangers, ...this.#peers.values(), ...this.#leaving.keys()]
      for (const { socket } of visitors) socket.destroy()
      for (const socket of this.#http) socket.destroy()
    })
  }

  #onArrival({ socket, proven, language }: Arrival): void {
    if (language === 'raft') this.#onVisit(socket, proven)
    else if (proven === null) socket.destroy()
    else {
      if (this.#http.add(socket, proven, language))
        this.#log.stranger(proven, 'it has too many connections: this was its oldest')
      this.#handler.onHttp(socket, proven, language)
    }
  }

  #onVisit(socket: Socket, proven: NodeId | null): void {
    const { clock, limits } = this.#context
    const visitor: Visitor = {
      socket,
      address: `${socket.remoteAddress}:${socket.remotePort}`,
      reader: new FrameReader(GREETING_BYTES_MAX),
      cancelDeadline: clock.after(limits.handshakeMs, () => {
        this.#dismiss(visitor, `no greeting within ${limits.handshakeMs / 1000} s`)
      }),
      proven,
      peer: null,
      incarnation: '',
      verifying: false,
      heard: false,
      silentTicks: 0,
      answering: false,
      renewing: false,
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
    visitor.cancelDeadline()
    this.#strangers.delete(visitor)
    this.#leaving.get(visitor)?.socket.resume()
    this.#leaving.delete(visitor)
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
      else {
        const direction = { from: peer, to: this.#context.self.nodeId }
        delivery = decodeDelivery(visitor.reader.push(chunk), direction, visitor.answering)
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.#dismiss(visitor, `${error.message}${resemblance(chunk)}`)
    }
    // Outside of the `try`: a fault of the core must stop the node.
    if (peer !== null && delivery !== null) this.#deliver(visitor, peer, delivery)
  }

  #deliver(visitor: Visitor, peer: NodeId, delivery: Delivery): void {
    const { messages, notices, chunk, renew } = delivery
    if (messages.length > 0) this.#handler.onMessages(messages)
    for (const notice of notices) this.#handler.onNotice(peer, notice)
    if (chunk !== null) this.#answer(visitor, peer, chunk)
    if (renew) this.#renew(visitor)
  }

  /** It stays until a newer connection takes its place, but not for long. */
  #renew(visitor: Visitor): void {
    if (visitor.renewing) return
    visitor.renewing = true
    const { clock, limits } = this.#context
    visitor.cancelDeadline = clock.after(limits.handshakeMs, () => {
      this.#dismiss(visitor, `not replaced and ended within ${limits.handshakeMs / 1000} s`)
    })
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
    visitor.cancelDeadline()
    this.#strangers.delete(visitor)
    const older = this.#peers.get(id)
    this.#peers.set(id, visitor)
    if (older !== undefined) this.#replace(older, visitor, id)
    visitor.peer = id
    visitor.incarnation = incarnation
    visitor.reader.bodyBytesMax = this.#context.limits.bodyBytesMax
    visitor.socket.write(greetingFrame('welcome', this.#context.self, id))
    this.#log.accepted(id)
    this.#handler.onAccepted({ id, incarnation, address, raftBind, gateway })
  }

  #replace(older: Visitor, newer: Visitor, id: NodeId): void {
    const waits = [...this.#leaving.values()].includes(older)
    if (!(older.renewing || waits)) {
      // Ordinary after a broken network; for ever, it is two agents with one data directory.
      this.#log.stranger(older.address, `${id} has connected again, from ${newer.address}`)
      older.socket.destroy()
      return
    }
    const leaving = [...this.#leaving.keys()]
    const before = leaving.filter(({ peer, socket }) => peer === id && !socket.destroyed)
    if (before.length >= LEAVING_MAX) before[0]?.socket.destroy()
    // What would say so of one that waits itself is not read yet.
    this.#renew(older)
    this.#leaving.set(older, newer)
    newer.socket.pause()
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
