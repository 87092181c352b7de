import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceDurably } from '../os/durable-file.ts'
import type { NodeId } from '../raft/types.ts'

/**
 * Trust on first use: who a peer was when it was first met, it must be for ever. A peer that comes
 * back with another data directory has forgotten its votes and entries, and counting it again could
 * complete a false majority (etcd#16220).
 */
export interface PeerIdentities {
  /**
   * Null once `incarnation` is recorded for this peer, as durably as the node's own promises; else
   * the sentence that refuses it, which the peer is told: so it does not name the recorded incarnation.
   * No message of a peer counts before.
   * Rejects when it cannot be recorded; nothing is remembered then, and it may be tried again.
   */
  verify(peer: NodeId, incarnation: string): Promise<string | null>
  /** The cluster has recorded who this peer is: that overrules whoever was met first. Rejects like `verify`. */
  record(peer: NodeId, incarnation: string): Promise<void>
  /** Forgets all others: who was removed may come back as somebody else. Rejects when that cannot be recorded. */
  keepOnly(peers: ReadonlySet<NodeId>): Promise<void>
  /** The sentence that refuses a peer whose incarnation is not the known one. */
  refusal(peer: NodeId, incarnation: string): string
}

/**
 * For clusters that keep everything in memory: as long as the others run, a node that restarts is
 * a stranger to them. Only a restart of all nodes together, which loses the data too, starts anew.
 */
export class MemoryPeerIdentities implements PeerIdentities {
  readonly #known = new Map<NodeId, string>()

  async verify(peer: NodeId, incarnation: string): Promise<string | null> {
    const known = this.#known.get(peer)
    if (known === undefined) this.#known.set(peer, incarnation)
    if (known === undefined || known === incarnation) return null
    return this.refusal(peer, incarnation)
  }

  async record(peer: NodeId, incarnation: string): Promise<void> {
    this.#known.set(peer, incarnation)
  }

  async keepOnly(peers: ReadonlySet<NodeId>): Promise<void> {
    for (const peer of this.#known.keys()) if (!peers.has(peer)) this.#known.delete(peer)
  }

  refusal(peer: NodeId, incarnation: string): string {
    return `${peer} was known as another process (incarnation now ${incarnation}); it kept everything in memory, its old promises are lost, so it may not vote. Remove it from the cluster and let it join again; a cluster in memory starts anew only when all its nodes are stopped first.`
  }
}

const FILE_NAME = 'peers.json'

/** Kept as `peers.json` in the data directory. */
export class FilePeerIdentities implements PeerIdentities {
  readonly #file: string
  #known: ReadonlyMap<NodeId, string>
  /** writes go one after the other */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(file: string, known: ReadonlyMap<NodeId, string>) {
    this.#file = file
    this.#known = known
  }

  /**
   * Creates the directory if need be.
   * @throws Error when the file cannot be read, or is not what was written: the node must not start
   */
  static async open(directory: string): Promise<FilePeerIdentities> {
    await mkdir(directory, { recursive: true })
    const file = join(directory, FILE_NAME)
    return new FilePeerIdentities(file, parse(file, await read(file)))
  }

  /** Whether any peer was ever met from this directory. */
  get hasMetPeers(): boolean {
    return this.#known.size > 0
  }

  async verify(peer: NodeId, incarnation: string): Promise<string | null> {
    if (this.#known.get(peer) === incarnation) return null
    return this.#inTurn(async () => {
      const known = this.#known.get(peer)
      if (known !== undefined && known !== incarnation) return this.refusal(peer, incarnation)
      await this.#write(new Map(this.#known).set(peer, incarnation), `the identity of ${peer}`)
      return null
    })
  }

  async record(peer: NodeId, incarnation: string): Promise<void> {
    if (this.#known.get(peer) === incarnation) return
    await this.#inTurn(() =>
      this.#write(new Map(this.#known).set(peer, incarnation), `the identity of ${peer}`),
    )
  }

  async keepOnly(peers: ReadonlySet<NodeId>): Promise<void> {
    const gone = () => [...this.#known.keys()].filter(peer => !peers.has(peer))
    if (gone().length === 0) return
    await this.#inTurn(async () => {
      const kept = [...this.#known].filter(([peer]) => peers.has(peer))
      await this.#write(new Map(kept), `that ${gone().join(', ')} left`)
    })
  }

  refusal(peer: NodeId, incarnation: string): string {
    return `${peer} was known with another data directory (incarnation now ${incarnation}); its old promises are lost with it, so it may not vote. Restore its data directory, or check that no other agent runs under its id, or remove it from the cluster and let it join again.`
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(task)
    this.#turn = mine.catch(() => {})
    return mine
  }

  async #write(next: ReadonlyMap<NodeId, string>, what: string): Promise<void> {
    if (sameMap(next, this.#known)) return
    try {
      await replaceDurably(this.#file, `${JSON.stringify(Object.fromEntries(next), null, 2)}\n`)
    } catch (cause) {
      throw new Error(`record ${what} in ${this.#file}`, { cause })
    }
    this.#known = next
  }
}

function sameMap(a: ReadonlyMap<NodeId, string>, b: ReadonlyMap<NodeId, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value)
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '{}'
    throw new Error(`read the known peers from ${file}`, { cause })
  }
}

function parse(file: string, text: string): ReadonlyMap<NodeId, string> {
  try {
    const known: unknown = JSON.parse(text)
    if (typeof known !== 'object' || known === null || Array.isArray(known))
      throw new Error('no object')
    const pairs = Object.entries(known)
    if (pairs.some(([, incarnation]) => typeof incarnation !== 'string'))
      throw new Error('no strings')
    return new Map(pairs as [NodeId, string][])
  } catch (cause) {
    throw new Error(`${file} is damaged: restore it, since it says which peers may be trusted`, {
      cause,
    })
  }
}
