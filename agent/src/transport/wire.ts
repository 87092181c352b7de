import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Cancel } from '../clock/clock.ts'
import type { HostPort } from '../lib/host-port.ts'
import type { NodeId } from '../raft/types.ts'

/** What is spoken on a connection: Raft; HTTP between agents; lanes of HTTP that a node's nginx sends to another. */
export type Language = 'raft' | 'http' | 'gateway'

/** How a connection is opened. */
export interface Dialling {
  readonly to: HostPort
  /** whom to expect there; null: any node of the cluster */
  readonly peer: NodeId | null
  readonly language: Language
  /** what will do where the other end does not speak that */
  readonly orElse?: Language
}

/** Who came, and what the connection itself proves of it. */
export interface Arrival {
  readonly socket: Socket
  /** null: nothing is proven */
  readonly proven: NodeId | null
  readonly language: Language
}

/** What a wire tells whoever accepts. */
export interface WireHandler {
  onArrival(arrival: Arrival): void
  /** Did not get so far; in words. */
  onTurnedAway(address: string, reason: string): void
}

/** Bounds for those that have not arrived yet; see `TcpLimits`. */
export interface WireLimits {
  readonly after: (ms: number, task: () => void) => Cancel
  readonly handshakeMs: number
  readonly strangersMax: number
}

/** Where connections are accepted. */
export interface Entrance {
  readonly server: Server
  /** Closes the connections that have not arrived yet. */
  dismissAll(): void
}

/** How bytes travel between agents, and what is known of the other end because of it. */
export interface Wire {
  /**
   * Errors come from the socket.
   * @param onOpen once, when both ends are sure of each other, as far as the wire is; is given what is spoken
   */
  dial(dialling: Dialling, onOpen: (language: Language) => void): Socket
  /** It does not listen yet. */
  entrance(handler: WireHandler, limits: WireLimits): Entrance
  /** Whether what a connection was opened with holds still. */
  trusts(socket: Socket): boolean
  /** Called whenever `trusts` may have changed its mind. */
  onChange(callback: () => void): Cancel
}

/** TCP as it is: nobody is proven, everybody on the way can read and write. */
export const PLAIN_WIRE: Wire = {
  dial: ({ to, language }, onOpen) => {
    const socket = connect({ ...to, noDelay: true, keepAlive: true })
    socket.on('connect', () => onOpen(language))
    return socket
  },
  entrance: handler => ({
    server: createServer({ noDelay: true, keepAlive: true }, socket =>
      handler.onArrival({ socket, proven: null, language: 'raft' }),
    ),
    dismissAll: () => {},
  }),
  trusts: () => true,
  onChange: () => () => {},
}
