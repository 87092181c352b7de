import { randomInt } from 'node:crypto'
import type { Test } from 'tap'
import type { CommittedEntry } from '../../src/machine/state-machine.ts'
import { asLogIndex, asNodeId, asTerm, type Identity } from '../../src/raft/types.ts'

export const IDENTITY: Identity = {
  clusterId: 'cluster-1',
  nodeId: asNodeId('node0'),
  incarnation: 'first',
}

/** The membership, where a test is about something else. */
export const NONE = new Uint8Array(0)

export function entry(index: number, term: number, command: Uint8Array | null): CommittedEntry {
  const position = { index: asLogIndex(index), term: asTerm(term) }
  return { position, command, timeMs: 0, idempotency: null }
}

/** Drawn anew for every run, and printed; `SEED=…` repeats one. */
export function drawSeed(t: Test): number {
  const { SEED } = process.env
  const seed = Number(SEED ?? randomInt(2 ** 31))
  t.comment(`SEED=${seed}`)
  return seed
}
