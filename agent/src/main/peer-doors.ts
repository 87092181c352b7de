import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Clock } from '../clock/clock.ts'
import type { Config } from '../config.ts'
import { type AskAgent, askProven } from '../http/ask-agent.ts'
import type { HttpServer } from '../http/server.ts'
import type { NodeId } from '../raft/types.ts'
import { PLAIN_WIRE, type Wire } from '../transport/wire.ts'
import { peerSecurity } from './peer-security.ts'

/** The ways between this agent and the others. */
export interface PeerDoors {
  readonly wire: Wire
  /** Null: agents prove nothing to each other. */
  readonly ask: AskAgent | null
  /** Another agent speaks HTTP on the port for agents. */
  onHttp(socket: Socket, peer: NodeId): void
  /** From now on it is answered. */
  opened(http: Pick<HttpServer, 'adopt'>): void
}

/** @throws Error in words for the operator: certificates or secret cannot be used */
export function peerDoors(
  config: Config,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): PeerDoors {
  const tls = peerSecurity(config, { clock, logger })
  const wire = tls ?? PLAIN_WIRE
  let http: Pick<HttpServer, 'adopt'> | null = null
  const dial = (to: Parameters<Wire['dial']>[0]['to'], onOpen: (socket: Socket) => void) => {
    const socket = wire.dial({ to, peer: null, language: 'http' }, () => onOpen(socket))
    return socket
  }
  return {
    wire,
    ask: tls === null ? null : askProven(dial, config.nodes),
    onHttp: (socket, peer) => {
      if (http === null) socket.destroy()
      else http.adopt(socket, peer)
    },
    opened: server => {
      http = server
    },
  }
}
