import fc from 'fast-check'
import type { LogBatch, LogState, LogStore } from '../../src/log/log-store.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type Entry,
  type HardState,
  type Identity,
  type LogPosition,
  ORIGIN,
  type SnapshotHeader,
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

/** The whole truth about a log: a plain array, and what was dropped before it. */
export interface Model {
  readonly base: LogPosition
  readonly entries: readonly Entry[]
  readonly hardState: HardState
  readonly marker: SnapshotHeader | null
}

export const EMPTY: Model = { base: ORIGIN, entries: [], hardState: hardState(0), marker: null }

export const lastOf = ({ base, entries }: Model): LogPosition => {
  const { index, term } = entries.at(-1) ?? base
  return { index, term }
}

/** A header that tells its position. */
export function headerAt(index: number, term: number, id = `s${index}-${term}`): SnapshotHeader {
  const position = { index: asLogIndex(index), term: asTerm(term) }
  const configuration = Uint8Array.of(index & 0xff, term & 0xff)
  return { position, configuration, id, bytes: index * 100, sha256: 'ab'.repeat(32) }
}

/** What the model is after a batch. */
export function after(model: Model, batch: LogBatch): Model {
  const { truncateFrom } = batch
  const kept =
    truncateFrom === null
      ? model.entries
      : model.entries.slice(0, truncateFrom - 1 - model.base.index)
  const { term, vote, commit } = batch.hardState
  const hardState = { term, vote, commit: asLogIndex(Math.max(commit, model.base.index)) }
  return { ...model, entries: [...kept, ...batch.entries], hardState }
}

/** What it is once everything up to `base` was dropped. */
export function compacted(model: Model, base: LogPosition): Model {
  const entries = model.entries.filter(({ index }) => index > base.index)
  const commit = asLogIndex(Math.max(model.hardState.commit, base.index))
  return { ...model, base, entries, hardState: { ...model.hardState, commit } }
}

/** What it is once the snapshot was installed. */
export function reset(model: Model, { position }: SnapshotHeader): Model {
  const isHeld = termIn(model, position.index) === position.term
  const kept = isHeld ? model : { ...model, entries: [] }
  return { ...compacted(kept, position), marker: null }
}

export function termIn({ base, entries }: Model, index: number): number | undefined {
  return index === base.index ? base.term : entries[index - base.index - 1]?.term
}

/** What `open` must answer for a model. */
export function stateOf(model: Model): LogState {
  const { base, entries, hardState, marker } = model
  const borders: TermBorder[] = []
  for (const { index, term } of entries) {
    if (term !== borders.at(-1)?.term) borders.push({ first: index, term })
  }
  return { base, last: lastOf(model), borders, hardState, marker }
}

/** Everything that a store holds. */
export async function readAll(
  store: LogStore,
  { base, last }: LogState,
): Promise<readonly Entry[]> {
  if (last.index === base.index) return []
  return store.read(asLogIndex(base.index + 1), last.index, Number.POSITIVE_INFINITY)
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
  const end = lastOf(model).index
  const droppable = end - commit
  const dropped = Math.min(droppable, Math.ceil(wish.truncate * droppable))
  const left = end - dropped
  const newTerm = model.hardState.term + (wish.newTerm || model.hardState.term === 0 ? 1 : 0)
  let term = Math.max(1, termIn(model, left) ?? 1)
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
