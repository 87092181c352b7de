import type { Socket } from 'node:net'
import type { Cancel } from '../clock/clock.ts'
import { DecodeError } from '../lib/bytes.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { NodeId } from '../raft/types.ts'
import { FrameReader } from './frame.ts'
import {
  decodeOpening,
  GREETING_BYTES_MAX,
  type Greeting,
  greetingFrame,
  type Opening,
  objection,
  refusalFrame,
  versionObjection,
} from './handshake.ts'
import { describeError, type TcpContext } from './tcp-context.ts'

/** Whom a link dials. */
export interface Peer {
  readonly id: NodeId
  readonly address: HostPort
}

/** Who does not take part: `stranger` when it knows another data directory by this node's name. */
export type Refusal = 'none' | 'refused' | 'stranger'

/** Why a connection is no more. */
export interface Ended {
  readonly reason: string
  /** by the peer itself */
  readonly refusal: Refusal
  /** nobody listens at its port */
  readonly deserted: boolean
}

/** What a connection tells its link; nothing any more after `onEnded`, `close` or `retire`. */
export interface ConnectionHandler {
  /** Greeted, and its incarnation is recorded: see `PeerIdentities`. */
  onConnected(connection: DialledConnection, welcome: Greeting): void
  /** @throws DecodeError */
  onBodies(connection: DialledConnection, bodies: readonly Uint8Array[]): void
  onEnded(connection: DialledConnection, ended: Ended): void
}

type Phase = 'greeting' | 'verifying' | 'connected' | 'over'

/** One connection to a peer, from the dialling to its end. */
export class DialledConnection {
  readonly #peer: Peer
  readonly #context: TcpContext
  readonly #handler: ConnectionHandler
  readonly #socket: Socket
  readonly #reader = new FrameReader(GREETING_BYTES_MAX)
  #phase: Phase = 'greeting'
  #cancelDeadline: Cancel
  #incarnation = ''

  constructor(peer: Peer, context: TcpContext, handler: ConnectionHandler) {
    this.#peer = peer
    this.#context = context
    this.#handler = handler
    const { clock, limits, self, wire } = context
    const socket = wire.dial({ to: peer.address, peer: peer.id, language: 'raft' }, () =>
      socket.write(greetingFrame('hello', self, peer.id)),
    )
    this.#socket = socket
    this.#cancelDeadline = clock.after(limits.handshakeMs, () => {
      this.end(`no greeting within ${limits.handshakeMs / 1000} s`)
    })
    socket.on('data', chunk => this.#onData(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.end(describeError(error), { deserted: error.code === 'ECONNREFUSED' })
    })
    socket.on('end', () => this.end(this.#closedByPeer()))
    socket.on('close', () => {
      this.end('closed')
      this.#cancelDeadline()
    })
  }

  /** Of the peer, once it is connected. */
  get incarnation(): string {
    return this.#incarnation
  }

  /** What it was opened with holds still. */
  get trusted(): boolean {
    return this.#context.wire.trusts(this.#socket)
  }

  /** Bytes that are not sent yet. */
  get queued(): number {
    return this.#socket.writableLength
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** Ends it, and tells the link. @param lastFrame what the peer is told */
  end(
    reason: string,
    {
      refusal = 'none',
      deserted = false,
      lastFrame = null,
    }: Partial<Ended> & { readonly lastFrame?: Uint8Array | null } = {},
  ): void {
    if (this.#phase === 'over') return
    this.close(lastFrame)
    this.#handler.onEnded(this, { reason, refusal, deserted })
  }

  /** Ends it, and tells the peer why. */
  refuse(reason: string): void {
    this.end(reason, { lastFrame: refusalFrame(reason) })
  }

  /** Ends it without a word to the link. */
  close(lastFrame: Uint8Array | null = null): void {
    this.#over()
    if (lastFrame === null) {
      this.#socket.destroy()
      return
    }
    this.#socket.write(lastFrame)
    this.#socket.destroySoon()
  }

  /** Another one has taken its place: what was written still arrives. */
  retire(): void {
    this.#over()
    // Closed with bytes unread, it would be reset, and what is on its way be lost: so the peer closes it.
    this.#socket.end()
    const { clock, limits } = this.#context
    this.#cancelDeadline = clock.after(limits.handshakeMs, () => this.#socket.destroy())
  }

  #over(): void {
    this.#phase = 'over'
    this.#cancelDeadline()
  }

  #closedByPeer(): string {
    return this.#phase === 'greeting'
      ? 'closed by the peer before its welcome; its log may tell why'
      : 'closed by the peer'
  }

  #onData(chunk: Uint8Array): void {
    if (this.#phase === 'over') return
    try {
      const bodies = this.#reader.push(chunk)
      if (this.#phase === 'connected') this.#handler.onBodies(this, bodies)
      else if (this.#phase === 'verifying') throw new DecodeError('data during the handshake')
      else if (bodies[0] !== undefined) this.#onOpening(decodeOpening(bodies[0]))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.end(`no answer of a raft-nginx agent: ${error.message}`)
    }
  }

  #onOpening(opening: Opening): void {
    const { id, address } = this.#peer
    const { self, admission } = this.#context
    switch (opening.kind) {
      case 'refusal':
        this.refusedBy(opening)
        return
      case 'other-version':
        this.refuse(versionObjection(opening.version, self))
        return
      case 'hello':
        throw new DecodeError('a hello in answer to a hello')
      default: {
        const reason =
          // Whom a link dials is let in: its transport has decided that.
          objection(opening, self, from => (from === id ? null : admission.objection(from, 0))) ??
          (opening.from === id ? null : `at ${address.host}:${address.port} is ${opening.from}`)
        if (reason === null) this.#verify(opening)
        else this.refuse(reason)
      }
    }
  }

  /** The peer does not take part with us, and says why. */
  refusedBy({ reason, stranger }: Extract<Opening, { kind: 'refusal' }>): void {
    this.end(`refused: ${reason}`, { refusal: stranger ? 'stranger' : 'refused' })
  }

  /** Connected only once the incarnation is recorded. */
  #verify(welcome: Greeting): void {
    this.#phase = 'verifying'
    this.#context.admission.verify(this.#peer.id, welcome.incarnation).then(
      refusal => {
        if (this.#phase !== 'verifying') return
        if (refusal !== null) this.refuse(refusal)
        else this.#connected(welcome)
      },
      error => this.end(describeError(error)),
    )
  }

  #connected(welcome: Greeting): void {
    this.#cancelDeadline()
    this.#phase = 'connected'
    this.#incarnation = welcome.incarnation
    this.#handler.onConnected(this, welcome)
  }
}
