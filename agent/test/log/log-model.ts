import fc from 'fast-check'
import type { LogBatch, LogState, LogStore } from '../../src/log/log-store.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type Entry,
  type HardState,
  type Identity,
  type TermBorder,
} from '../../src/raft/types.ts'

export const IDENTITY: Identity = {
  clusterId: 'test-cluster',
  nodeId: asNodeId('node0'),
  incarnation: 'first',
}

/** An entry whose payload tells its position, in `bytes` bytes. */
export function entryAt(index: number, term: number, bytes = 10): Entry {
  const payload = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at++) payload[at] = (index * 31 + term * 7 + at) & 0xff
  return {
    index: asLogIndex(index),
    term: asTerm(term),
    kind: bytes === 0 ? 'no-op' : 'command',
    payload,
  }
}

/** Entries from `first` to `last` of one term. */
export function entriesBetween(
  { first, last }: { first: number; last: number },
  term: number,
  bytes = 10,
): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => entryAt(first + at, term, bytes))
}

export function hardState(term: number, vote: string | null = null, commit = 0): HardState {
  return {
    term: asTerm(term),
    vote: vote === null ? null : asNodeId(vote),
    commit: asLogIndex(commit),
  }
}

/** A batch in which only what matters to a test is named. */
export function batchOf(parts: {
  entries?: readonly Entry[]
  truncateFrom?: number
  floor?: number
  hardState?: HardState
}): LogBatch {
  const entries = parts.entries ?? []
  return {
    entries,
    hardState: parts.hardState ?? hardState(entries.at(-1)?.term ?? 1),
    truncateFrom: parts.truncateFrom === undefined ? null : asLogIndex(parts.truncateFrom),
    floor: asLogIndex(parts.floor ?? 0),
  }
}

/** The whole truth about a log: a plain array. */
export interface Model {
  readonly entries: readonly Entry[]
  readonly hardState: HardState
}

export const EMPTY: Model = { entries: [], hardState: hardState(0) }

/** What the model is after a batch. */
export function after(model: Model, batch: LogBatch): Model {
  const kept =
    batch.truncateFrom === null ? model.entries : model.entries.slice(0, batch.truncateFrom - 1)
  return { entries: [...kept, ...batch.entries], hardState: batch.hardState }
}

/** What `open` must answer for a model. */
export function stateOf({ entries, hardState }: Model): LogState {
  const borders: TermBorder[] = []
  for (const { index, term } of entries) {
    if (term !== borders.at(-1)?.term) borders.push({ first: index, term })
  }
  const last = entries.at(-1)
  return {
    last: { index: last?.index ?? asLogIndex(0), term: last?.term ?? asTerm(0) },
    borders,
    hardState,
  }
}

/** Everything that a store holds. */
export async function readAll(store: LogStore, { last }: LogState): Promise<readonly Entry[]> {
  if (last.index === 0) return []
  return store.read(asLogIndex(1), last.index, Number.POSITIVE_INFINITY)
}

/** One random step, still without reference to a log. */
interface Wish {
  readonly truncate: number
  readonly sizes: readonly number[]
  readonly termSteps: readonly boolean[]
  readonly newTerm: boolean
  readonly vote: string | null
  readonly commit: number
}

/** Random wishes, to be fitted to a log by `batchFor`. */
export const wish: fc.Arbitrary<Wish> = fc.record({
  truncate: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
  ),
  sizes: fc.array(fc.oneof(fc.constant(0), fc.nat(60), fc.nat(3000)), { maxLength: 6 }),
  termSteps: fc.array(fc.boolean(), { maxLength: 6 }),
  newTerm: fc.boolean(),
  vote: fc.constantFrom(null, 'node0', 'node1'),
  commit: fc.double({ min: 0, max: 1, noNaN: true }),
})

/** A batch that keeps Raft's rules and comes as near to the wish as they let it. */
export function batchFor(model: Model, wish: Wish): LogBatch {
  const { commit } = model.hardState
  const droppable = model.entries.length - commit
  const dropped = Math.min(droppable, Math.ceil(wish.truncate * droppable))
  const left = model.entries.length - dropped
  const newTerm = model.hardState.term + (wish.newTerm || model.hardState.term === 0 ? 1 : 0)
  let term: number = model.entries[left - 1]?.term ?? 1
  const entries = wish.sizes.map((bytes, at) => {
    if (wish.termSteps[at] === true && term < newTerm) term++
    return entryAt(left + 1 + at, term, bytes)
  })
  const last = left + entries.length
  const vote = newTerm === model.hardState.term ? model.hardState.vote : null
  return {
    hardState: hardState(
      newTerm,
      vote ?? wish.vote,
      commit + Math.floor(wish.commit * 0.5 * (last - commit)),
    ),
    truncateFrom: dropped === 0 ? null : asLogIndex(left + 1),
    entries,
    floor: commit,
  }
}
