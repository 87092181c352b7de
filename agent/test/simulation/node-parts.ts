import type { Configuration } from '../../src/raft/configuration.ts'
import type { RaftOptions } from '../../src/raft/state.ts'
import type { NodeId } from '../../src/raft/types.ts'
import type { Chance } from './chance.ts'
import type { Histories } from './history.ts'
import type { Letter } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import type { Snapshots } from './snapshots.ts'
import type { Tally } from './tally.ts'
import type { Weather } from './weather.ts'
import type { Witness } from './witness.ts'

/** What a simulated node is made of. */
export interface NodeParts {
  readonly options: RaftOptions
  /** what the node starts with: of one that waits to be added nothing */
  readonly first: Configuration
  /** whom it has met, by name: their incarnations */
  readonly met: ReadonlyMap<NodeId, string>
  /** of the disk that a name stands for now */
  readonly incarnationOf: (id: NodeId) => string
  /** for requests of the node's own */
  readonly nextId: () => number
  readonly weather: Weather
  readonly chance: Chance
  readonly clock: Chance
  readonly damage: Chance
  readonly scheduler: Scheduler
  readonly faults: Tally
  readonly reached: Tally
  readonly histories: Histories
  readonly snapshots: Snapshots
  readonly witness: Witness
  readonly send: (letter: Letter) => void
}
