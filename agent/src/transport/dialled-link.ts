import type { Socket } from 'node:net'
import type { Cancel } from '../clock/clock.ts'
import { DecodeError } from '../lib/bytes.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import { chunkFrame, decodeAnswer } from './chunk-codec.ts'
import { BODY, encodeFrame, encodeMessages, FrameReader } from './frame.ts'
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
import type { ChunkAnswer, MetPeer, PeerLink, SnapshotChunk } from './transport.ts'

const PING = encodeFrame(body => body.u8(BODY.ping))

/** Whom a link dials. */
export interface Peer {
  readonly id: NodeId
  readonly address: HostPort
}

/** What a link tells its transport. */
export interface LinkHandler {
  onUnreachable(peer: NodeId): void
  onMet(peer: MetPeer): void
  onGone(peer: NodeId): void
}

type Refusal = Extract<Opening, { kind: 'refusal' }>

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly cancel: Cancel }
  | { readonly kind: 'greeting' | 'verifying'; readonly socket: Socket; readonly cancel: Cancel }
  | { readonly kind: 'connected'; readonly socket: Socket; readonly incarnation: string }
  | { readonly kind: 'closed' }

/** A chunk that is not answered yet. */
interface Outstanding {
  readonly resolve: (answer: ChunkAnswer) => void
  readonly reject: (error: Error) => void
}

/** The connection that this node dials to one peer, and on which it only sends; dials again for ever. */
export class DialledLink {
  readonly #peer: Peer
  readonly #context: TcpContext
  readonly #handler: LinkHandler
  #state: State = { kind: 'idle' }
  #lastError: string | null = null
  #refusal: 'none' | 'refused' | 'stranger' = 'none'
  /** was connected, and not found to be gone since */
  #wasThere = false
  #lastLogged = ''
  /** messages of this turn */
  #turn: Message[] = []
  /** the present break was reported */
  #reported = false
  /** dials since a connection lasted */
  #attempts = 0
  /** pings without a sign of the peer */
  #silentPings = 0
  #chunk: Outstanding | null = null

  constructor(peer: Peer, context: TcpContext, handler: LinkHandler) {
    this.#peer = peer
    this.#context = context
    this.#handler = handler
  }

  dials({ host, port }: HostPort): boolean {
    const { address } = this.#peer
    return address.host === host && address.port === port
  }

  /** The membership has changed: is who was connected still believed? */
  review(): void {
    const state = this.#state
    if (state.kind !== 'connected') return
    this.#context.admission.verify(this.#peer.id, state.incarnation).then(
      refusal => {
        if (refusal !== null) this.#refuse(state.socket, refusal)
      },
      error => this.#break(state.socket, describeError(error)),
    )
  }

  /** What connections were opened with has changed: this one is opened anew unless that vouches for it. */
  recheck(): void {
    const state = this.#state
    if (!('socket' in state) || this.#context.wire.trusts(state.socket)) return
    this.#break(state.socket, 'what it has shown is not trusted any more')
  }

  /** Dials at once, unless a connection exists or is being made. */
  dialNow(): void {
    if (this.#state.kind === 'waiting') this.#state.cancel()
    if (this.#state.kind === 'idle' || this.#state.kind === 'waiting') this.#dial()
  }

  /** What is sent in one turn leaves as one write, or is dropped and reported. */
  send(message: Message): void {
    if (this.#turn.push(message) === 1) queueMicrotask(() => this.#flush())
  }

  /** See `Transport.sendChunk`. */
  sendChunk(chunk: SnapshotChunk): Promise<ChunkAnswer> {
    const state = this.#state
    const { id } = this.#peer
    return new Promise((resolve, reject) => {
      if (state.kind !== 'connected') {
        reject(new Error(`${id} is not connected${because(this.#lastError)}`))
      } else if (this.#chunk !== null) {
        reject(new Error(`another chunk is under way to ${id}`))
      } else {
        this.#chunk = { resolve, reject }
        state.socket.write(chunkFrame(chunk))
      }
    })
  }

  /** See `Transport.notify`. */
  notify(notice: Uint8Array): void {
    const state = this.#state
    if (state.kind !== 'connected') return
    if (state.socket.writableLength > this.#context.limits.queueBytesMax) return
    state.socket.write(
      encodeFrame(body => {
        body.u8(BODY.notice).raw(notice)
      }, 1 + notice.length),
    )
  }

  status(): PeerLink {
    const connected = this.#state.kind === 'connected'
    const lastError = connected ? null : this.#lastError
    const refused = !connected && this.#refusal !== 'none'
    const stranger = refused && this.#refusal === 'stranger'
    return { peer: this.#peer.id, connected, lastError, refused, stranger }
  }

  /** Every `pingMs`: finds out whether the peer still takes what is sent. */
  tick(): void {
    if (this.#state.kind !== 'connected') return
    const { socket } = this.#state
    this.#attempts = 0
    const { silentPingsMax, pingMs } = this.#context.limits
    if (this.#silentPings >= silentPingsMax) {
      this.#break(socket, `silent for ${(silentPingsMax * pingMs) / 1000} s`)
      return
    }
    this.#silentPings++
    // Anything that arrives is answered, so a ping behind unsent bytes would tell nothing more.
    if (socket.writableLength === 0) socket.write(PING)
  }

  /** For ever. @param reason what the peer is told, if it is connected */
  close(reason: string | null = null): void {
    const state = this.#state
    this.#state = { kind: 'closed' }
    this.#turn = []
    this.#abandonChunk(reason ?? 'closed')
    if ('cancel' in state) state.cancel()
    if (!('socket' in state)) return
    if (reason === null) state.socket.destroy()
    else endWith(state.socket, refusalFrame(reason))
  }

  #dial(): void {
    const { id, address } = this.#peer
    const { clock, limits, self, wire } = this.#context
    const socket = wire.dial({ to: address, peer: id, language: 'raft' }, () =>
      socket.write(greetingFrame('hello', self, id)),
    )
    const cancel = clock.after(limits.handshakeMs, () => {
      this.#break(socket, `no greeting within ${limits.handshakeMs / 1000} s`)
    })
    this.#attempts++
    this.#state = { kind: 'greeting', socket, cancel }
    const reader = new FrameReader(GREETING_BYTES_MAX)
    socket.on('data', chunk => this.#onData(socket, reader, chunk))
    socket.on('error', error => this.#onError(socket, error))
    socket.on('end', () => this.#break(socket, this.#closedByPeer()))
    socket.on('close', () => this.#break(socket, 'closed'))
  }

  #onError(socket: Socket, error: NodeJS.ErrnoException): void {
    this.#break(socket, describeError(error))
    if (error.code !== 'ECONNREFUSED' || !this.#wasThere) return
    this.#wasThere = false
    this.#handler.onGone(this.#peer.id)
  }

  #closedByPeer(): string {
    const early = this.#state.kind === 'greeting'
    return early
      ? 'closed by the peer before its welcome; its log may tell why'
      : 'closed by the peer'
  }

  #onData(socket: Socket, reader: FrameReader, chunk: Uint8Array): void {
    if (!('socket' in this.#state) || this.#state.socket !== socket) return
    try {
      const bodies = reader.push(chunk)
      if (this.#state.kind === 'connected') this.#onAnswers(socket, bodies)
      else if (this.#state.kind === 'verifying') throw new DecodeError('data during the handshake')
      else if (bodies[0] !== undefined) this.#onOpening(socket, decodeOpening(bodies[0]))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.#break(socket, `no answer of a raft-nginx agent: ${error.message}`)
    }
  }

  #onAnswers(socket: Socket, bodies: readonly Uint8Array[]): void {
    this.#silentPings = 0
    for (const body of bodies) {
      if (body[0] === BODY.pong) continue
      if (body[0] === BODY.chunkAnswer) {
        this.#onAnswer(decodeAnswer(body))
        continue
      }
      const opening = decodeOpening(body)
      if (opening.kind !== 'refusal') throw new DecodeError('a second greeting')
      this.#refused(socket, opening)
    }
  }

  #onAnswer(answer: ChunkAnswer): void {
    const chunk = this.#chunk
    if (chunk === null) throw new DecodeError('an answer to no chunk')
    this.#chunk = null
    chunk.resolve(answer)
  }

  #abandonChunk(reason: string): void {
    const chunk = this.#chunk
    this.#chunk = null
    chunk?.reject(new Error(`the connection to ${this.#peer.id} broke: ${reason}`))
  }

  #onOpening(socket: Socket, opening: Opening): void {
    const { id, address } = this.#peer
    const { self, admission } = this.#context
    switch (opening.kind) {
      case 'refusal':
        this.#refused(socket, opening)
        return
      case 'other-version':
        this.#refuse(socket, versionObjection(opening.version, self))
        return
      case 'hello':
        throw new DecodeError('a hello in answer to a hello')
      default: {
        const reason =
          // Whom a link dials is let in: its transport has decided that.
          objection(opening, self, from => (from === id ? null : admission.objection(from, 0))) ??
          (opening.from === id ? null : `at ${address.host}:${address.port} is ${opening.from}`)
        if (reason === null) this.#verify(socket, opening)
        else this.#refuse(socket, reason)
      }
    }
  }

  /** Connected only once the incarnation is recorded: see `PeerIdentities`. */
  #verify(socket: Socket, welcome: Greeting): void {
    const state = this.#state
    if (state.kind !== 'greeting') return
    this.#state = { kind: 'verifying', socket, cancel: state.cancel }
    this.#context.admission.verify(this.#peer.id, welcome.incarnation).then(
      refusal => {
        if (this.#state.kind !== 'verifying' || this.#state.socket !== socket) return
        if (refusal !== null) this.#refuse(socket, refusal)
        else this.#connected(socket, welcome)
      },
      error => this.#break(socket, describeError(error)),
    )
  }

  #connected(socket: Socket, welcome: Greeting): void {
    const { incarnation, address, raftBind, gateway } = welcome
    if ('cancel' in this.#state) this.#state.cancel()
    this.#state = { kind: 'connected', socket, incarnation }
    this.#refusal = 'none'
    this.#wasThere = true
    this.#silentPings = 0
    this.#reported = false
    this.#log('info', 'connected')
    this.#handler.onMet({ id: this.#peer.id, incarnation, address, raftBind, gateway })
  }

  #flush(): void {
    const messages = this.#turn
    this.#turn = []
    const state = this.#state
    if (state.kind === 'closed' || messages.length === 0) return
    const { queueBytesMax, bodyBytesMax } = this.#context.limits
    if (state.kind !== 'connected' || state.socket.writableLength > queueBytesMax) {
      this.#unreachable()
      return
    }
    const { frames, leftOut } = encodeMessages(messages, bodyBytesMax)
    for (const frame of frames) state.socket.write(frame)
    this.#reported = false
    if (leftOut > 0) this.#log('warn', `${leftOut} messages above ${bodyBytesMax} bytes left out`)
  }

  #refuse(socket: Socket, reason: string): void {
    this.#break(socket, reason, refusalFrame(reason))
  }

  /** The peer does not take part with us, and says why. */
  #refused(socket: Socket, { reason, stranger }: Refusal): void {
    this.#break(socket, `refused: ${reason}`)
    if (this.#state.kind === 'waiting') this.#refusal = stranger ? 'stranger' : 'refused'
  }

  /** Gives up this connection, after a last frame if given, and dials again later. */
  #break(socket: Socket, reason: string, lastFrame?: Uint8Array): void {
    const state = this.#state
    if (!('socket' in state) || state.socket !== socket) return
    if ('cancel' in state) state.cancel()
    if (lastFrame === undefined) socket.destroy()
    else endWith(socket, lastFrame)
    this.#lastError = reason
    this.#refusal = 'none'
    this.#log('warn', reason)
    const cancel = this.#context.clock.after(this.#backoffMs(), () => this.#dial())
    this.#state = { kind: 'waiting', cancel }
    this.#abandonChunk(reason)
    if (state.kind === 'connected') this.#unreachable()
  }

  #backoffMs(): number {
    const { backoffMinMs, backoffMaxMs } = this.#context.limits
    const ms = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#attempts - 1, 20))
    return this.#context.prng.between(Math.ceil(ms / 2), ms + 1)
  }

  #unreachable(): void {
    if (this.#reported) return
    this.#reported = true
    this.#handler.onUnreachable(this.#peer.id)
  }

  /** Once per change. */
  #log(level: 'info' | 'warn', text: string): void {
    if (text === this.#lastLogged) return
    this.#lastLogged = text
    const { id, address } = this.#peer
    this.#context.log(level, `link to ${id} (${address.host}:${address.port}): ${text}`)
  }
}

function because(reason: string | null): string {
  return reason === null ? '' : `: ${reason}`
}

/** Closes the connection behind a last frame. */
function endWith(socket: Socket, lastFrame: Uint8Array): void {
  socket.write(lastFrame)
  socket.destroySoon()
}
