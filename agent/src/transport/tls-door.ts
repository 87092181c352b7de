import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Cancel } from '../clock/clock.ts'
import { describeError } from './tcp-context.ts'
import type { WireHandler, WireLimits } from './wire.ts'

/** One that has connected and not shaken hands yet. */
interface Knock<Tag> {
  readonly socket: Socket
  readonly address: string
  readonly cancel: Cancel
  readonly tag: Tag
}

/** Whoever has connected to a TLS server and proven nothing so far: few of them, and not for long. */
export class TlsDoor<Tag> {
  readonly #handler: Pick<WireHandler, 'onTurnedAway'>
  readonly #limits: WireLimits
  /** oldest first, by address and port, which is how Node's TLS names a connection again */
  readonly #knocks = new Map<string, Knock<Tag>>()
  /** closed in this turn of the event loop: Node tells why only when the address is gone */
  #closed: string[] = []

  constructor(handler: Pick<WireHandler, 'onTurnedAway'>, limits: WireLimits) {
    this.#handler = handler
    this.#limits = limits
  }

  /** @param tag what `onPassed` gives back */
  onKnock(socket: Socket, tag: Tag): void {
    const { handshakeMs, strangersMax, after } = this.#limits
    const address = addressOf(socket)
    const cancel = after(handshakeMs, () => {
      this.#dismiss(address, `no TLS handshake within ${handshakeMs / 1000} s`)
    })
    this.#knocks.set(address, { socket, address, cancel, tag })
    socket.on('close', () => this.#onClose(address, socket))
    const [oldest] = this.#knocks.keys()
    if (this.#knocks.size > strangersMax && oldest !== undefined) {
      this.#dismiss(oldest, 'too many connections without a TLS handshake')
    }
  }

  /** It has shaken hands. Null: it is gone again. */
  onPassed(socket: TLSSocket): Tag | null {
    const knock = this.#take(addressOf(socket))
    return knock === undefined ? null : knock.tag
  }

  onFailure(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    // Whoever closes by itself said nothing that is worth a line: a port scan, or the check of a load balancer.
    const { authorizationError: doubt } = socket
    if (error.code === 'ECONNRESET' && !doubt) return
    const here = socket.remoteAddress === undefined ? null : addressOf(socket)
    const address = here ?? (this.#closed.length === 1 ? this.#closed[0] : null)
    const reason = doubt
      ? describeError(Object.assign(new Error(String(doubt)), { code: String(doubt) }))
      : describeError(error)
    if (here !== null) this.#take(here)
    this.#handler.onTurnedAway(address ?? 'an address that is gone', reason)
  }

  dismissAll(): void {
    for (const { socket } of this.#knocks.values()) socket.destroy()
  }

  #dismiss(address: string, reason: string): void {
    const knock = this.#take(address)
    if (knock === undefined) return
    this.#handler.onTurnedAway(address, reason)
    knock.socket.destroy()
  }

  #onClose(address: string, socket: Socket): void {
    if (this.#knocks.get(address)?.socket !== socket) return
    this.#take(address)
    this.#closed.push(address)
    if (this.#closed.length === 1)
      setImmediate(() => {
        this.#closed = []
      })
  }

  #take(address: string): Knock<Tag> | undefined {
    const knock = this.#knocks.get(address)
    knock?.cancel()
    this.#knocks.delete(address)
    return knock
  }
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`
}
