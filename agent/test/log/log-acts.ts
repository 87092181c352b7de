import fc from 'fast-check'
import type { LogBatch, LogStore } from '../../src/log/log-store.ts'
import { asLogIndex, asTerm, type LogPosition, type SnapshotHeader } from '../../src/raft/types.ts'
import {
  after,
  batchFor,
  compacted,
  EMPTY,
  headerAt,
  lastOf,
  type Model,
  reset,
  termIn,
  wish,
} from './log-model.ts'

/** One call that changes a log. */
export type Act =
  | { readonly kind: 'persist'; readonly batch: LogBatch }
  | { readonly kind: 'compact'; readonly base: LogPosition }
  | { readonly kind: 'mark'; readonly header: SnapshotHeader }
  | { readonly kind: 'reset'; readonly header: SnapshotHeader }

/** A random act, still without reference to a log. */
export const actWish = fc.record({
  wish,
  kind: fc.constantFrom('persist', 'persist', 'persist', 'compact', 'install', 'install'),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  beyond: fc.nat(8),
})
interface ActWish {
  readonly wish: Parameters<typeof batchFor>[1]
  readonly kind: string
  readonly share: number
  readonly beyond: number
}

export function perform(store: LogStore, act: Act): Promise<void> {
  switch (act.kind) {
    case 'persist':
      return store.persist(act.batch)
    case 'compact':
      return store.compact(act.base)
    case 'mark':
      return store.mark(act.header)
    case 'reset':
      return store.reset(act.header)
  }
}

/** What the model is after an act. */
export function afterAct(model: Model, act: Act): Model {
  switch (act.kind) {
    case 'persist':
      return after(model, act.batch)
    case 'compact':
      return compacted(model, act.base)
    case 'mark':
      return { ...model, marker: act.header }
    case 'reset':
      return reset(model, act.header)
  }
}

/** An act that keeps the rules of the port and comes as near to the wish as they let it. */
export function actFor(model: Model, { wish: parts, kind, share, beyond }: ActWish): Act {
  const { base, marker, hardState } = model
  if (kind === 'compact' && marker === null && hardState.commit > base.index) {
    const index = base.index + Math.ceil(share * (hardState.commit - base.index))
    const term = termIn(model, index) ?? 0
    return { kind, base: { index: asLogIndex(index), term: asTerm(term) } }
  }
  if (kind === 'install' && marker !== null) return { kind: 'reset', header: marker }
  if (kind === 'install' && hardState.term > 0) {
    return { kind: 'mark', header: toInstall(model, share, beyond) }
  }
  const batch = batchFor(model, parts)
  if (marker === null) return { kind: 'persist', batch }
  // While an install is under way nothing is committed.
  const quiet = { ...batch.hardState, commit: hardState.commit }
  return { kind: 'persist', batch: { ...batch, hardState: quiet } }
}

/** Above commit: one of the log's entries, one in conflict with it, or one beyond its end. Below: one of its own. */
function toInstall(model: Model, share: number, beyond: number): SnapshotHeader {
  const { commit, term } = model.hardState
  const { base } = model
  if (beyond === 8) {
    const index = base.index + Math.floor(share * (commit - base.index))
    return headerAt(index, termIn(model, index) ?? 0)
  }
  const index = commit + 1 + Math.floor(share * (lastOf(model).index - commit))
  const held = termIn(model, index)
  if (held === undefined) return headerAt(index + beyond, term)
  return headerAt(index, beyond % 2 === 0 ? held : term)
}

/** Acts of every sort; the models before and after each. */
export function actHistory(
  seed: number,
  count: number,
): { acts: Act[]; models: [Model, ...Model[]] } {
  const models: [Model, ...Model[]] = [EMPTY]
  const acts: Act[] = []
  for (const each of fc.sample(actWish, { seed, numRuns: count })) {
    const model = models.at(-1) ?? models[0]
    const act = actFor(model, each)
    acts.push(act)
    models.push(afterAct(model, act))
  }
  return { acts, models }
}
