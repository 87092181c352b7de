import type { Cancel } from '../clock/clock.ts'
import { DecodeError } from '../lib/bytes.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import { chunkFrame, decodeAnswer } from './chunk-codec.ts'
import {
  type ConnectionHandler,
  DialledConnection,
  type Ended,
  type Peer,
  type Refusal,
} from './dialled-connection.ts'
import { BODY, encodeFrame, encodeMessages, RENEW } from './frame.ts'
import { decodeOpening, type Greeting, refusalFrame } from './handshake.ts'
import { describeError, type TcpContext } from './tcp-context.ts'
import type { ChunkAnswer, MetPeer, PeerLink, SnapshotChunk } from './transport.ts'

const UNTRUSTED = 'what it has shown is not trusted any more'
const PING = encodeFrame(body => body.u8(BODY.ping))

/** What a link tells its transport. */
export interface LinkHandler {
  onUnreachable(peer: NodeId): void
  onMet(peer: MetPeer): void
  onGone(peer: NodeId): void
}

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly cancel: Cancel }
  | { readonly kind: 'dialling'; readonly connection: DialledConnection }
  | {
      readonly kind: 'connected'
      readonly connection: DialledConnection
      /** is to take its place; until then that one serves */
      readonly next: DialledConnection | null
    }
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
  readonly #connectionHandler: ConnectionHandler
  #state: State = { kind: 'idle' }
  #lastError: string | null = null
  #refusal: Refusal = 'none'
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
    this.#connectionHandler = {
      onConnected: (connection, welcome) => this.#onConnected(connection, welcome),
      onBodies: (connection, bodies) => this.#onAnswers(connection, bodies),
      onEnded: (connection, ended) => this.#onEnded(connection, ended),
    }
  }

  dials({ host, port }: HostPort): boolean {
    const { address } = this.#peer
    return address.host === host && address.port === port
  }

  /** The membership has changed: is who was connected still believed? */
  review(): void {
    const state = this.#state
    if (state.kind !== 'connected') return
    const { connection } = state
    this.#context.admission.verify(this.#peer.id, connection.incarnation).then(
      refusal => {
        if (refusal !== null) connection.refuse(refusal)
      },
      error => connection.end(describeError(error)),
    )
  }

  /** What connections were opened with has changed: those that it does not vouch for are opened anew. */
  recheck(): void {
    const state = this.#state
    if (state.kind === 'dialling' && !state.connection.trusted) state.connection.end(UNTRUSTED)
    if (state.kind !== 'connected') return
    const { connection, next } = state
    const outdated = next !== null && !next.trusted
    if (outdated) {
      next.close()
      this.#state = { kind: 'connected', connection, next: null }
    }
    if (outdated || !connection.trusted) this.#renew(UNTRUSTED)
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
        state.connection.write(chunkFrame(chunk))
      }
    })
  }

  /** See `Transport.notify`. */
  notify(notice: Uint8Array): void {
    const state = this.#state
    if (state.kind !== 'connected') return
    if (state.connection.queued > this.#context.limits.queueBytesMax) return
    state.connection.write(
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
    const { connection } = this.#state
    this.#attempts = 0
    const { silentPingsMax, pingMs } = this.#context.limits
    if (this.#silentPings >= silentPingsMax) {
      connection.end(`silent for ${(silentPingsMax * pingMs) / 1000} s`)
      return
    }
    this.#silentPings++
    // Anything that arrives is answered, so a ping behind unsent bytes would tell nothing more.
    if (connection.queued === 0) connection.write(PING)
  }

  /** For ever. @param reason what the peer is told, if it is connected */
  close(reason: string | null = null): void {
    const state = this.#state
    this.#state = { kind: 'closed' }
    this.#turn = []
    this.#abandonChunk(reason ?? 'closed')
    if ('cancel' in state) state.cancel()
    if ('next' in state) state.next?.close()
    if ('connection' in state) {
      state.connection.close(reason === null ? null : refusalFrame(reason))
    }
  }

  #dial(): void {
    this.#attempts++
    this.#state = { kind: 'dialling', connection: this.#open() }
  }

  #open(): DialledConnection {
    return new DialledConnection(this.#peer, this.#context, this.#connectionHandler)
  }

  /** The connection serves until another one has taken its place, so that nothing is lost in between. */
  #renew(reason: string): void {
    const state = this.#state
    if (state.kind !== 'connected' || state.next !== null) return
    this.#log('info', `${reason}: opening a new connection`)
    // Read before the new one arrives: the older is then read to its end.
    state.connection.write(RENEW)
    this.#state = { ...state, next: this.#open() }
  }

  #onAnswers(connection: DialledConnection, bodies: readonly Uint8Array[]): void {
    this.#silentPings = 0
    for (const body of bodies) {
      switch (body[0]) {
        case BODY.pong:
          break
        case BODY.chunkAnswer:
          this.#onAnswer(decodeAnswer(body))
          break
        case BODY.renew:
          this.#renew('not trusted by the peer any more')
          break
        default: {
          const opening = decodeOpening(body)
          if (opening.kind !== 'refusal') throw new DecodeError('a second greeting')
          connection.refusedBy(opening)
          return
        }
      }
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

  #onConnected(connection: DialledConnection, welcome: Greeting): void {
    const { incarnation, address, raftBind, gateway } = welcome
    if (this.#state.kind === 'connected') {
      this.#abandonChunk('it was opened anew')
      this.#state.connection.retire()
    }
    this.#state = { kind: 'connected', connection, next: null }
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
    if (state.kind !== 'connected' || state.connection.queued > queueBytesMax) {
      this.#unreachable()
      return
    }
    const { frames, leftOut } = encodeMessages(messages, bodyBytesMax)
    for (const frame of frames) state.connection.write(frame)
    this.#reported = false
    if (leftOut > 0) this.#log('warn', `${leftOut} messages above ${bodyBytesMax} bytes left out`)
  }

  #onEnded(connection: DialledConnection, { reason, refusal, deserted }: Ended): void {
    const state = this.#state
    if (!('connection' in state)) return
    const next = state.kind === 'connected' && connection === state.connection ? state.next : null
    // Without its successor a connection is not good any more.
    if (next === null && connection !== state.connection) state.connection.close()
    this.#lastError = reason
    this.#refusal = refusal
    this.#log('warn', reason)
    this.#state = next === null ? this.#wait() : { kind: 'dialling', connection: next }
    this.#abandonChunk(reason)
    if (state.kind === 'connected') this.#unreachable()
    if (!deserted || !this.#wasThere) return
    this.#wasThere = false
    this.#handler.onGone(this.#peer.id)
  }

  /** Dials again later. */
  #wait(): State {
    const cancel = this.#context.clock.after(this.#backoffMs(), () => this.#dial())
    return { kind: 'waiting', cancel }
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
