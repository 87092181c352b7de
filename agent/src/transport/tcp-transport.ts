import type { Cancel, Clock } from '../clock/clock.ts'
import { assert } from '../lib/assert.ts'
import { type HostPort, parseHostPort } from '../lib/host-port.ts'
import { Prng } from '../lib/prng.ts'
import type { Message } from '../raft/message.ts'
import type { Identity, NodeId } from '../raft/types.ts'
import { DialledLink } from './dialled-link.ts'
import { Inbox } from './inbox.ts'
import type { PeerIdentities } from './peer-identities.ts'
import { TCP_LIMITS, type TcpContext, type TcpLimits, type TransportLog } from './tcp-context.ts'
import type { PeerLink, Transport, TransportHandler } from './transport.ts'

/** How a TCP transport is set up. */
export interface TcpTransportOptions {
  readonly identity: Identity
  /** `host:port` to accept peers on; `:port` means all interfaces, port 0 any free one. */
  readonly listen: string
  /** All members of the cluster, this node included or not; `raftBind` is `host:port`. */
  readonly members: readonly { readonly id: NodeId; readonly raftBind: string }[]
  readonly identities: PeerIdentities
  readonly clock: Clock
  readonly log: TransportLog
  /** For the jitter of redials. */
  readonly seed: number
  /** Defaults: `TCP_LIMITS`. */
  readonly limits?: Partial<TcpLimits>
}

/**
 * Every node dials each other one and sends on its own connection, so there are two a pair, one for
 * each direction; only pongs travel backwards. Both ends prove cluster, id and incarnation before
 * the first message.
 */
export class TcpTransport implements Transport {
  readonly #listen: HostPort
  readonly #context: TcpContext
  readonly #inbox: Inbox
  readonly #links = new Map<NodeId, DialledLink>()
  #handler: TransportHandler | null = null
  #cancelTicks: Cancel = () => {}
  #port = 0
  #closed = false

  /** @throws Error when an address is not `host:port` */
  constructor(options: TcpTransportOptions) {
    const { identity, members } = options
    assert(/^[!-~]{1,255}$/.test(identity.clusterId), 'a cluster id is printable ASCII')
    assert(/^[!-~]{1,255}$/.test(identity.incarnation), 'an incarnation is printable ASCII')
    this.#listen = hostPort(options.listen)
    const peers = members.filter(member => member.id !== identity.nodeId)
    const ids = new Set(peers.map(peer => peer.id))
    this.#context = {
      identity,
      identities: options.identities,
      isMember: id => ids.has(id),
      clock: options.clock,
      prng: new Prng(options.seed),
      log: options.log,
      limits: { ...TCP_LIMITS, ...options.limits },
    }
    for (const { id, raftBind } of peers) {
      const peer = { id, address: hostPort(raftBind) }
      const onUnreachable = (): void => this.#handler?.onUnreachable(id)
      this.#links.set(id, new DialledLink(peer, this.#context, onUnreachable))
    }
    this.#inbox = new Inbox(this.#context, {
      onMessages: messages => this.#handler?.onMessages(messages),
      onAccepted: peer => this.#links.get(peer)?.dialNow(),
    })
  }

  /** Where peers are accepted; 0 before `start`. */
  get port(): number {
    return this.#port
  }

  async start(handler: TransportHandler): Promise<void> {
    assert(this.#handler === null, 'a transport is started once')
    this.#handler = handler
    this.#port = await this.#inbox.listen(this.#listen)
    if (this.#closed) return
    this.#cancelTicks = this.#context.clock.every(this.#context.limits.pingMs, () => this.#tick())
    for (const link of this.#links.values()) link.dialNow()
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) this.#links.get(message.to)?.send(message)
  }

  links(): readonly PeerLink[] {
    return [...this.#links.values()].map(link => link.status())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTicks()
    for (const link of this.#links.values()) link.close()
    await this.#inbox.close()
  }

  #tick(): void {
    this.#inbox.tick()
    for (const link of this.#links.values()) link.tick()
  }
}

function hostPort(text: string): HostPort {
  const address = parseHostPort(text)
  if (address === null) throw new Error(`not host:port: ${text}`)
  return address
}
