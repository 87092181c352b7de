import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../clock/clock.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { NodeId } from '../raft/types.ts'
import { Lanes } from './lanes.ts'
import { describeError, type TransportLog } from './tcp-context.ts'
import type { Language, Wire } from './wire.ts'

export interface LaneLinksOptions {
  readonly wire: Wire
  readonly clock: Clock
  /** Where a node accepts its peers; null: it is not known. */
  readonly addressOf: (peer: NodeId) => HostPort | null
  readonly log: TransportLog
}

/** Until both ends are sure of each other, connecting included. */
const OPEN_MS = 1_000
/** One without lanes ends after so many looks. */
const LOOK_MS = 30_000
const IDLE_LOOKS_MAX = 2

/** Null: there is no way to that node, and nothing has left. */
type Taker = (lane: Duplex | null) => void

interface Link {
  readonly peer: NodeId
  socket: Socket | null
  /** null: it is not open yet */
  lanes: Lanes | null
  readonly takers: Taker[]
  idleLooks: number
}

/** Lanes to other nodes, on one connection to each, which is made when the first is asked for. */
export class LaneLinks {
  readonly #options: LaneLinksOptions
  readonly #links = new Map<NodeId, Link>()
  /** Their lanes go on to their end, and new ones come elsewhere. */
  readonly #retired = new Set<Link>()
  /** why there was no way, so that it is said once */
  readonly #told = new Map<NodeId, string>()
  readonly #cancels: readonly Cancel[]

  constructor(options: LaneLinksOptions) {
    this.#options = options
    const { wire, clock } = options
    this.#cancels = [wire.onChange(() => this.#recheck()), clock.every(LOOK_MS, () => this.#look())]
  }

  /** @param take is called once, now or later */
  lane(peer: NodeId, take: Taker): void {
    const link = this.#links.get(peer) ?? this.#begin(peer)
    if (link.lanes === null) link.takers.push(take)
    else take(this.#laneOf(link, link.lanes))
  }

  close(): void {
    for (const cancel of this.#cancels) cancel()
    for (const link of [...this.#links.values(), ...this.#retired]) link.socket?.destroy()
  }

  #begin(peer: NodeId): Link {
    const link: Link = { peer, socket: null, lanes: null, takers: [], idleLooks: 0 }
    this.#links.set(peer, link)
    link.socket = this.#dial(peer, {
      opened: (language, socket) => this.#onOpen(link, language, socket),
      failed: () => this.#onFailed(link),
    })
    return link
  }

  #onOpen(link: Link, language: Language, socket: Socket): void {
    const takers = link.takers.splice(0)
    if (language !== 'gateway') {
      // An agent that knows no lanes: HTTP as agents speak it, on a connection for each that asks.
      this.#links.delete(link.peer)
      takers.shift()?.(socket)
      for (const take of takers) this.#alone(link.peer, take)
      return
    }
    const { clock } = this.#options
    const lanes = new Lanes(socket, { clock, onLane: null, onRenew: () => this.#retire(link) })
    link.lanes = lanes
    socket.on('close', () => this.#forget(link))
    for (const take of takers) take(this.#laneOf(link, lanes))
  }

  #onFailed(link: Link): void {
    this.#forget(link)
    for (const take of link.takers.splice(0)) take(null)
  }

  #alone(peer: NodeId, take: Taker): void {
    this.#dial(peer, { opened: (_, socket) => take(socket), failed: () => take(null) })
  }

  /** Exactly one of the two is called, and not before this returns. */
  #dial(
    peer: NodeId,
    then: { opened(language: Language, socket: Socket): void; failed(): void },
  ): Socket | null {
    const { wire, clock, addressOf, log } = this.#options
    const to = addressOf(peer)
    const fail = (error: unknown) => {
      const why = describeError(error)
      if (this.#told.get(peer) !== why) log('warn', `writes are not taken to ${peer}: ${why}`)
      this.#told.set(peer, why)
      then.failed()
    }
    if (to === null) {
      // Not told: whoever has nginx's socket may ask for names without number.
      clock.soon(() => then.failed())
      return null
    }
    let reason: unknown = new Error('the connection was closed')
    const socket = wire.dial({ to, peer, language: 'gateway', orElse: 'http' }, language => {
      cancel()
      socket.off('close', onClose)
      this.#told.delete(peer)
      then.opened(language, socket)
    })
    const cancel = clock.after(OPEN_MS, () => {
      reason = new Error(`no answer in ${OPEN_MS} ms`)
      socket.destroy()
    })
    const onClose = () => {
      cancel()
      fail(reason)
    }
    socket.on('error', error => {
      reason = error
    })
    socket.on('close', onClose)
    return socket
  }

  #laneOf(link: Link, lanes: Lanes): Duplex | null {
    const lane = lanes.open()
    lane?.on('close', () => {
      if (this.#retired.has(link)) this.#endIfDone(link)
    })
    return lane
  }

  #recheck(): void {
    for (const link of [...this.#links.values()]) {
      if (link.socket === null || this.#options.wire.trusts(link.socket)) continue
      if (link.lanes === null) link.socket.destroy()
      else this.#retire(link)
    }
  }

  /** What is under way on it ends there. */
  #retire(link: Link): void {
    if (link.lanes === null || this.#retired.has(link)) return
    this.#forget(link)
    this.#retired.add(link)
    link.lanes.retire()
    this.#endIfDone(link)
  }

  #endIfDone(link: Link): void {
    if (link.lanes?.size === 0) link.socket?.destroySoon()
  }

  #look(): void {
    for (const link of [...this.#links.values()]) {
      if (link.lanes === null) continue
      link.idleLooks = link.lanes.size === 0 ? link.idleLooks + 1 : 0
      if (link.idleLooks >= IDLE_LOOKS_MAX) this.#retire(link)
    }
  }

  #forget(link: Link): void {
    if (this.#links.get(link.peer) === link) this.#links.delete(link.peer)
    this.#retired.delete(link)
  }
}
