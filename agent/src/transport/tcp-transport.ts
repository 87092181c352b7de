import type { Socket } from 'node:net'
import type { Cancel, Clock } from '../clock/clock.ts'
import { assert } from '../lib/assert.ts'
import { type HostPort, parseHostPort } from '../lib/host-port.ts'
import { Prng } from '../lib/prng.ts'
import type { Message } from '../raft/message.ts'
import type { Identity, NodeId } from '../raft/types.ts'
import { Admission } from './admission.ts'
import { DialledLink, type LinkHandler } from './dialled-link.ts'
import { Inbox } from './inbox.ts'
import type { PeerIdentities } from './peer-identities.ts'
import {
  describeError,
  TCP_LIMITS,
  type TcpContext,
  type TcpLimits,
  type TransportLog,
} from './tcp-context.ts'
import type {
  ChunkAnswer,
  Contact,
  Membership,
  MetPeer,
  PeerLink,
  SnapshotChunk,
  Transport,
  TransportHandler,
} from './transport.ts'
import { type Language, PLAIN_WIRE, type Wire } from './wire.ts'

/** How a TCP transport is set up. */
export interface TcpTransportOptions {
  readonly identity: Identity
  /** How others reach this node: what its peers are told. */
  readonly contact: Contact
  /** `host:port` to accept peers on; `:port` means all interfaces, port 0 any free one. */
  readonly listen: string
  readonly identities: PeerIdentities
  readonly clock: Clock
  readonly log: TransportLog
  /** For the jitter of redials. */
  readonly seed: number
  /** Default: TCP as it is. */
  readonly wire?: Wire
  /** Who has proven to be a node of this cluster, and does not speak Raft. Default: nobody may. */
  readonly onHttp?: (socket: Socket, peer: NodeId, language: Language) => void
  /** Defaults: `TCP_LIMITS`. */
  readonly limits?: Partial<TcpLimits>
}

/**
 * Every node dials each other one and sends on its own connection, so there are two a pair, one for
 * each direction; only pongs, the answers to chunks and the wish for a new connection travel backwards. Both ends prove
 * cluster, id and incarnation before the first message.
 */
export class TcpTransport implements Transport {
  readonly #listen: HostPort
  readonly #context: TcpContext
  readonly #admission: Admission
  readonly #inbox: Inbox
  readonly #links = new Map<NodeId, DialledLink>()
  readonly #linkHandler: LinkHandler
  #handler: TransportHandler | null = null
  #cancelTicks: Cancel = () => {}
  #cancelRechecks: Cancel = () => {}
  #port = 0
  #closed = false

  /** @throws Error when an address is not `host:port` */
  constructor(options: TcpTransportOptions) {
    const { identity, contact } = options
    assert(/^[!-~]{1,255}$/.test(identity.clusterId), 'a cluster id is printable ASCII')
    assert(/^[!-~]{1,255}$/.test(identity.incarnation), 'an incarnation is printable ASCII')
    this.#listen = hostPort(options.listen)
    this.#admission = new Admission(identity.nodeId, options.identities)
    this.#context = {
      self: { ...identity, ...contact },
      wire: options.wire ?? PLAIN_WIRE,
      admission: this.#admission,
      guests: () => [...this.#links.keys()].filter(id => !this.#admission.isMember(id)).length,
      clock: options.clock,
      prng: new Prng(options.seed),
      log: options.log,
      limits: { ...TCP_LIMITS, ...options.limits },
    }
    this.#linkHandler = {
      onUnreachable: peer => this.#handler?.onUnreachable(peer),
      onMet: peer => this.#handler?.onMet(peer),
      onGone: peer => this.#handler?.onGone(peer),
    }
    this.#inbox = new Inbox(this.#context, {
      onMessages: messages => this.#handler?.onMessages(messages),
      onChunk: (from, chunk) => this.#onChunk(from, chunk),
      onNotice: (from, notice) => this.#handler?.onNotice(from, notice),
      onAccepted: peer => this.#onAccepted(peer),
      onHttp: options.onHttp ?? (socket => socket.destroy()),
      onLeft: peer => this.#onLeft(peer),
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
    this.#cancelRechecks = this.#context.wire.onChange(() => this.#recheck())
    for (const link of this.#links.values()) link.dialNow()
  }

  setMembership(membership: Membership): void {
    if (this.#closed) return
    this.#admission.set(membership, error =>
      this.#context.log('warn', `not forgotten yet: ${describeError(error)}`),
    )
    for (const [id, link] of this.#links) {
      const reason = this.#admission.objection(id, 0)
      if (reason === null) link.review()
      else this.#drop(id, reason)
    }
    for (const { id, raftBind } of this.#admission.members.values()) this.#link(id, raftBind)
    this.#inbox.review()
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) this.#links.get(message.to)?.send(message)
  }

  async sendChunk(to: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    const link = this.#links.get(to)
    if (link === undefined) throw new Error(`${to} is no peer`)
    return link.sendChunk(chunk)
  }

  notify(to: NodeId, notice: Uint8Array): void {
    this.#links.get(to)?.notify(notice)
  }

  links(): readonly PeerLink[] {
    return [...this.#links.values()].map(link => link.status())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTicks()
    this.#cancelRechecks()
    for (const link of this.#links.values()) link.close()
    await this.#inbox.close()
  }

  async #onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    if (this.#handler === null) throw new Error('not started')
    return this.#handler.onChunk(from, chunk)
  }

  #recheck(): void {
    this.#inbox.recheck()
    for (const link of this.#links.values()) link.recheck()
  }

  #tick(): void {
    this.#inbox.tick()
    for (const link of this.#links.values()) link.tick()
  }

  #onAccepted(peer: MetPeer): void {
    // A member's address is the configuration's to say.
    if (!this.#admission.isMember(peer.id)) this.#link(peer.id, peer.raftBind)
    this.#links.get(peer.id)?.dialNow()
    this.#handler?.onMet(peer)
  }

  /** A guest that left is not dialled for ever. */
  #onLeft(peer: NodeId): void {
    if (!this.#closed && !this.#admission.isMember(peer)) this.#drop(peer, null)
  }

  /** Dials this address, unless that is done already. */
  #link(id: NodeId, raftBind: string): void {
    const address = hostPort(raftBind)
    if (this.#links.get(id)?.dials(address)) return
    this.#drop(id, null)
    const link = new DialledLink({ id, address }, this.#context, this.#linkHandler)
    this.#links.set(id, link)
    if (this.#port !== 0) link.dialNow()
  }

  #drop(id: NodeId, reason: string | null): void {
    this.#links.get(id)?.close(reason)
    this.#links.delete(id)
  }
}

function hostPort(text: string): HostPort {
  const address = parseHostPort(text)
  if (address === null) throw new Error(`not host:port: ${text}`)
  return address
}
