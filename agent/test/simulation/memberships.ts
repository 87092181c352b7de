import { type Configuration, decodeConfiguration } from '../../src/raft/configuration.ts'
import type { Entry, LogIndex, NodeId, Term } from '../../src/raft/types.ts'
import type { SimulatedNode } from './node.ts'
import { decides, halvesOf, meet, votersIn } from './quorums.ts'
import { must } from './violation.ts'

interface Written {
  readonly index: LogIndex
  readonly configuration: Configuration
}

interface Committed extends Written {
  /** in which it was committed first */
  readonly term: Term
}

/** Every configuration that was ever written, and which of them may decide by now (I10). */
export class Memberships {
  readonly #nodes: readonly SimulatedNode[]
  /** committed, by index; the first is what the cluster starts with */
  readonly #committed: Committed[]
  /** above the last committed one, wherever it was written; some of them are overwritten by now */
  #open: Written[] = []

  constructor(nodes: readonly SimulatedNode[], first: Configuration) {
    this.#nodes = nodes
    this.#committed = [{ index: 0 as LogIndex, configuration: first, term: 0 as Term }]
  }

  /** The newest that is committed. */
  get latest(): Configuration {
    return this.#committed.at(-1)?.configuration ?? this.#first
  }

  /** A leader appends a change to its log. */
  appended(node: SimulatedNode, entry: Entry): void {
    const { state } = node.raft
    const before = node.log.changeBefore(entry.index)
    const configuration = decodeConfiguration(entry.payload)
    this.#open.push({ index: entry.index, configuration })
    must(
      node.log.termAt(state.commit) === state.term,
      'B11: no change before a commit in the own term',
    )
    must(
      before === null || before.index <= state.applied,
      'Configuration: at most one uncommitted change',
    )
    must(
      meet(before === null ? this.#first : decodeConfiguration(before.payload), configuration),
      'Configuration: consecutive ones share their majorities',
    )
  }

  /** @param term in which it was committed first */
  committed({ index, payload }: Entry, term: Term): void {
    this.#committed.push({ index, configuration: decodeConfiguration(payload), term })
    this.#open = this.#open.filter(open => open.index > index)
  }

  /** @param voters whose votes have left them */
  elected({ id, raft }: SimulatedNode, voters: ReadonlySet<NodeId>): void {
    const { configuration, term } = raft.state
    const earlier = this.#committed.findLast(committed => committed.term < term)
    must(
      decides(configuration, voter => voter === id || voters.has(voter)),
      'Elected: by a majority of the configuration in force',
    )
    must(
      meet(configuration, earlier?.configuration ?? this.#first),
      'Elected: under a configuration that meets the one that is committed',
    )
  }

  /** All that may decide now: what is committed, what may be, and what voters start with after a crash. */
  possible(): readonly Configuration[] {
    const starts = votersIn(this.latest).flatMap(id => {
      const node = this.#nodes.find(each => each.id === id)
      return node === undefined || node.lost || node.lacksMachine || node.aside
        ? []
        : [node.configuration, this.#durable(node)]
    })
    return [...new Set([this.latest, ...this.#open.map(each => each.configuration), ...starts])]
  }

  /** Whether the others can still decide when this disk is lost: nobody promises anything beyond. */
  mayLose(node: SimulatedNode): boolean {
    const gone = (id: NodeId): boolean =>
      this.#nodes.some(each => each.id === id && (each === node || isGone(each)))
    return this.possible().every(configuration => standsWithout(configuration, gone))
  }

  /** Whether those who are not lost could decide under this configuration. */
  canDecide(configuration: Configuration): boolean {
    return standsWithout(configuration, id =>
      this.#nodes.some(each => each.id === id && isGone(each)),
    )
  }

  /** What a start finds in force before anything is decided: commits that are on disk are applied first. */
  #durable(node: SimulatedNode): Configuration {
    const { commit } = node.disk.image.hardState
    return this.#committed.findLast(({ index }) => index <= commit)?.configuration ?? this.#first
  }

  get #first(): Configuration {
    return this.#committed[0]?.configuration ?? { members: [], outgoing: [] }
  }
}

/** Who lost its machine, or has a wrong one, votes, and cannot lead: without others it is as good as gone. */
const isGone = ({ lost, disk, lacksMachine, aside, machine }: SimulatedNode): boolean =>
  lost || disk.rotten || lacksMachine || aside || machine.hasDiverged

/** In each half less than half are gone; a learner that is gone may be promoted before anybody notices. */
function standsWithout(configuration: Configuration, gone: (id: NodeId) => boolean): boolean {
  const { members } = configuration
  const learners = members.filter(({ id, role }) => role === 'learner' && gone(id)).length
  return halvesOf(configuration).every(
    half => (half.filter(gone).length + learners) * 2 < half.length + learners,
  )
}
