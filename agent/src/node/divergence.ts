import { ByteReader, ByteWriter, DecodeError } from '../lib/bytes.ts'
import { type Configuration, votersOf } from '../raft/configuration.ts'
import { asLogIndex, asTerm, type LogPosition, type NodeId } from '../raft/types.ts'

/** What a machine had come to at a check entry: equal on every node that applied the same, with the same results. */
export interface ChainReport extends LogPosition {
  readonly chainHash: Uint8Array
}

/** How this node stands to the others at its newest check. */
export type Verdict =
  /** Too few have reported to say. */
  | { readonly kind: 'open' }
  /** A majority of the voters has come to the same. */
  | { readonly kind: 'agreed' }
  /** A majority of the voters has come to another hash, hexadecimal: this node is wrong. */
  | { readonly kind: 'differs'; readonly majority: string }
  /** Voters differ and no majority of them agrees: nobody can tell who is wrong, and nobody guesses. */
  | { readonly kind: 'undecided' }

const OPEN: Verdict = { kind: 'open' }

/** Reports that may still come are waited for so long before "nobody can tell" is said, ms. */
const WAIT_MS = 5_000

/** First byte of a notice: of this kind there is one more with every release that needs one. */
const CHAIN_REPORT = 1

/**
 * Compares what the machines of the cluster have come to, at check entries of the log. Every member reports to every
 * other one; the voters' reports count, and each member judges itself by them. Reports get lost with a connection:
 * whoever hears a peer's first report at the check that it has itself passed answers with its own.
 */
export class DivergenceDetector {
  readonly #id: NodeId
  #own: ChainReport | null = null
  /** when the own machine passed that check, monotonic ms */
  #since = 0
  /** the newest of each peer, which may be of a check that this node has not come to yet */
  readonly #reports = new Map<NodeId, ChainReport>()
  /** as it was asked for last */
  #differing: readonly NodeId[] = []

  constructor(id: NodeId) {
    this.#id = id
  }

  /** The newest check that the own machine has passed; null: none since the start. */
  get own(): ChainReport | null {
    return this.#own
  }

  /** The own machine has passed a check, which all other members are to be told. */
  passed(own: ChainReport, now: number): void {
    this.#own = own
    this.#since = now
  }

  /** @returns whether the peer should be told the own report: it is there now, and may have missed it */
  heard(from: NodeId, report: ChainReport): boolean {
    const before = this.#reports.get(from)
    if (before !== undefined && before.index >= report.index) return false
    this.#reports.set(from, report)
    return report.index === this.#own?.index
  }

  verdict(configuration: Configuration, now: number): Verdict {
    const own = this.#own
    if (own === null) return OPEN
    const byHash = this.#voices(own, configuration)
    const chosen = [...byHash].find(([, voters]) => isMajority(voters, configuration))?.[0]
    const mine = keyOf(own)
    if (chosen === mine) return { kind: 'agreed' }
    if (chosen !== undefined) return { kind: 'differs', majority: chosen.split(' ')[1] ?? '' }
    const differing = byHash.size > 1 || (byHash.size === 1 && !byHash.has(mine))
    const missing = everyVoter(configuration).some(id => this.#at(own, id) === null)
    if (!differing || (missing && now - this.#since < WAIT_MS)) return OPEN
    return { kind: 'undecided' }
  }

  /** Members whose last report at a check of this node's was not the own one. */
  differing(configuration: Configuration): readonly NodeId[] {
    const own = this.#own
    if (own === null) return []
    const members = configuration.members.map(({ id }) => id)
    this.#differing = members.filter(id => {
      const report = this.#at(own, id)
      return report === null ? this.#differing.includes(id) : keyOf(report) !== keyOf(own)
    })
    return this.#differing
  }

  /** Voters by what they have come to at the own check. */
  #voices(own: ChainReport, configuration: Configuration): ReadonlyMap<string, Set<NodeId>> {
    const byHash = new Map<string, Set<NodeId>>()
    for (const id of everyVoter(configuration)) {
      const report = this.#at(own, id)
      if (report === null) continue
      const key = keyOf(report)
      byHash.set(key, (byHash.get(key) ?? new Set()).add(id))
    }
    return byHash
  }

  #at({ index }: LogPosition, id: NodeId): ChainReport | null {
    const report = id === this.#id ? this.#own : this.#reports.get(id)
    return report?.index === index ? report : null
  }
}

/** Another term at the same index is another history, whatever the hash. */
function keyOf({ term, chainHash }: ChainReport): string {
  return `${term} ${Buffer.from(chainHash).toString('hex')}`
}

/** Of both halves while there are two (§6). */
function isMajority(ids: ReadonlySet<NodeId>, configuration: Configuration): boolean {
  return halvesOf(configuration).every(half => {
    return half.filter(id => ids.has(id)).length * 2 > half.length
  })
}

function everyVoter(configuration: Configuration): readonly NodeId[] {
  return [...new Set(halvesOf(configuration).flat())]
}

function halvesOf(configuration: Configuration): readonly (readonly NodeId[])[] {
  const { outgoing } = configuration
  return outgoing.length === 0 ? [votersOf(configuration)] : [votersOf(configuration), outgoing]
}

/** A notice to a peer. */
export function encodeReport({ index, term, chainHash }: ChainReport): Uint8Array {
  return new ByteWriter().u8(CHAIN_REPORT).f64(index).f64(term).bytes(chainHash).view()
}

/** Null: a notice of another kind. @throws DecodeError */
export function decodeReport(notice: Uint8Array): ChainReport | null {
  const reader = new ByteReader(notice)
  if (reader.u8() !== CHAIN_REPORT) return null
  const [index, term, chainHash] = [reader.f64(), reader.f64(), reader.bytes().slice()]
  reader.end()
  try {
    return { index: asLogIndex(index), term: asTerm(term), chainHash }
  } catch (cause) {
    throw new DecodeError('a report of no position', { cause })
  }
}
