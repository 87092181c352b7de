import { Prng } from '../lib/prng.ts'
import { RaftLog, type RaftLogImage } from './log.ts'
import { Outbox, type OutboxImage } from './outbox.ts'
import { Progress, type ProgressImage } from './progress.ts'
import type { Core, Leader, RaftOptions, Role, State } from './state.ts'
import type { NodeId } from './types.ts'

type LeaderImage = Omit<Leader, 'progress'> & {
  readonly progress: readonly (readonly [NodeId, ProgressImage])[]
}
type RoleImage = Exclude<Role, Leader> | LeaderImage

/** The whole core between two steps, as plain data: from it and the inputs that follow, a run replays exactly. */
export interface CoreImage {
  readonly options: RaftOptions
  readonly state: Omit<State, 'role'> & { readonly role: RoleImage }
  readonly log: RaftLogImage
  readonly out: OutboxImage
  readonly seed: number
}

/** Shares entries with the core, which never change; copies everything else. */
export function imageOf({ options, state, log, out, prng }: Core): CoreImage {
  return {
    options,
    state: { ...state, role: roleImage(state.role), reads: copyReads(state) },
    log: log.image(),
    out: out.image(),
    seed: prng.state,
  }
}

/** @param image is not modified, so that it can be used again */
export function coreFrom({ options, state, log, out, seed }: CoreImage): Core {
  return {
    options,
    state: { ...state, role: roleFrom(state.role), reads: copyReads(state) },
    log: RaftLog.from(log),
    out: Outbox.from(out),
    prng: new Prng(seed),
  }
}

function copyReads({ reads }: Pick<State, 'reads'>): State['reads'] {
  const { round } = reads
  return {
    ...reads,
    waiting: [...reads.waiting],
    round: round === null ? null : { ...round, confirmed: new Set(round.confirmed) },
  }
}

function roleImage(role: Role): RoleImage {
  if (role.kind === 'follower') return role
  if (role.kind === 'candidate') return { ...role, granted: new Set(role.granted) }
  const progress = [...role.progress].map(([id, peer]) => [id, peer.image()] as const)
  return { ...role, ...copyTerm(role), progress }
}

function roleFrom(role: RoleImage): Role {
  if (role.kind === 'follower') return role
  if (role.kind === 'candidate') return { ...role, granted: new Set(role.granted) }
  const progress = new Map(role.progress.map(([id, peer]) => [id, Progress.from(peer)]))
  return { ...role, ...copyTerm(role), progress }
}

function copyTerm({ uncommitted, transfer }: Pick<Leader, 'uncommitted' | 'transfer'>) {
  return { uncommitted: [...uncommitted], transfer: transfer === null ? null : { ...transfer } }
}
