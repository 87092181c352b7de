import type { Input } from '../raft/input.ts'
import type { State } from '../raft/state.ts'

/** The loop, as seen by what it starts. */
export interface Loop {
  /** Of the core, between two steps. */
  readonly state: () => Readonly<State>
  readonly post: (input: Input) => void
  /** The node stops. */
  readonly fail: (error: unknown) => void
}
