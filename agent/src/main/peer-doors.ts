import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Clock } from '../clock/clock.ts'
import type { Config } from '../config.ts'
import { type AskAgent, askProven } from '../http/ask-agent.ts'
import type { HttpServer } from '../http/server.ts'
import { type HostPort, parseHostPort } from '../lib/host-port.ts'
import type { NodeStatus } from '../node/node-api.ts'
import type { NodeId } from '../raft/types.ts'
import { LaneLinks } from '../transport/lane-links.ts'
import { Lanes } from '../transport/lanes.ts'
import { type Language, PLAIN_WIRE, type Wire } from '../transport/wire.ts'
import { peerSecurity } from './peer-security.ts'

/** The ways between this agent and the others. */
export interface PeerDoors {
  readonly wire: Wire
  /** Null: agents prove nothing to each other. */
  readonly ask: AskAgent | null
  /** Another agent speaks HTTP on the port for agents, or brings what its nginx was asked. */
  onHttp(socket: Socket, peer: NodeId, language: Language): void
  /** From now on it is answered. */
  opened(http: Doorway): void
  /** To other nodes, for this machine's nginx. Null: agents prove nothing to each other. @param members who belongs to the cluster now */
  lanes(members: () => NodeStatus['members']): LaneLinks | null
}

type Doorway = Pick<HttpServer, 'adopt' | 'serve'>

/** @throws Error in words for the operator: certificates or secret cannot be used */
export function peerDoors(
  config: Config,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): PeerDoors {
  const tls = peerSecurity(config, { clock, logger })
  const wire = tls ?? PLAIN_WIRE
  let http: Doorway | null = null
  const dial = (to: Parameters<Wire['dial']>[0]['to'], onOpen: (socket: Socket) => void) => {
    const socket = wire.dial({ to, peer: null, language: 'http' }, () => onOpen(socket))
    return socket
  }
  return {
    wire,
    ask: tls === null ? null : askProven(dial, config.nodes),
    onHttp: (socket, peer, language) => {
      if (http === null) socket.destroy()
      else if (language === 'gateway') serveLanes(socket, http, { wire, clock })
      else http.adopt(socket, peer)
    },
    opened: server => {
      http = server
    },
    lanes: members => {
      if (tls === null) return null
      const addressOf = (peer: NodeId): HostPort | null => {
        const known = [...members(), ...config.nodes].find(
          ({ id, raftBind }) => id === peer && raftBind !== '',
        )
        return parseHostPort(known?.raftBind ?? '')
      }
      return new LaneLinks({
        wire,
        clock,
        addressOf,
        log: (level, line) => logger[level](line),
      })
    },
  }
}

/** Of another node's nginx, by its agent. */
function serveLanes(
  socket: Socket,
  http: Doorway,
  { wire, clock }: { readonly wire: Wire; readonly clock: Clock },
): void {
  const lanes = new Lanes(socket, { clock, onLane: lane => http.serve(lane) })
  const cancel = wire.onChange(() => {
    if (!wire.trusts(socket)) lanes.renew()
  })
  socket.once('close', cancel)
}
