import type { Socket } from 'node:net'
import type { NodeId } from '../raft/types.ts'
import type { Language } from './wire.ts'

type Spoken = Exclude<Language, 'raft'>

/**
 * At a time, of one node. Lanes: one connection, and those that it replaces. HTTP: questions between agents; a build that
 * knows no lanes brings each write of its nginx, of which 256 are under way, on a connection of its own.
 */
const CONNECTIONS_MAX: Readonly<Record<Spoken, number>> = { gateway: 8, http: 512 }

/**
 * Connections on which proven nodes speak something else than Raft, so many of each: the newest stay, since a node that
 * comes back knows nothing of those that it had. Nodes that are no members are taken for one: where a secret is what
 * proves a node, whoever has it may use any name.
 */
export class ProvenConnections {
  readonly #isMember: (id: NodeId) => boolean
  /** oldest first */
  readonly #sockets = new Map<string, Set<Socket>>()

  constructor(isMember: (id: NodeId) => boolean) {
    this.#isMember = isMember
  }

  /** @returns whether another one had to go for it */
  add(socket: Socket, peer: NodeId, language: Spoken): boolean {
    const key = `${language} ${this.#isMember(peer) ? peer : ''}`
    const sockets = this.#sockets.get(key) ?? new Set()
    this.#sockets.set(key, sockets.add(socket))
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0 && this.#sockets.get(key) === sockets) this.#sockets.delete(key)
    })
    const [oldest] = sockets
    if (oldest === undefined || sockets.size <= CONNECTIONS_MAX[language]) return false
    sockets.delete(oldest)
    oldest.destroy()
    return true
  }

  *[Symbol.iterator](): Iterator<Socket> {
    for (const sockets of this.#sockets.values()) yield* sockets
  }
}
