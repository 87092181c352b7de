/** A log of some author's commands, and what a machine made of it. */

import { createHash } from 'node:crypto'
import { Prng } from '../../../src/lib/prng.ts'
import type { Applied, CommittedEntry, Result } from '../../../src/machine/state-machine.ts'
import { asLogIndex, asTerm } from '../../../src/raft/types.ts'
import type { Instance } from './subject.ts'

const START_MS = 1_700_000_000_000

/** Entries from index 1: commands, some of them requests that come twice, and entries of the cluster's own. */
export function drawLog(
  samples: readonly Uint8Array[],
  { seed, length }: { readonly seed: number; readonly length: number },
): readonly CommittedEntry[] {
  const prng = new Prng(seed)
  let term = 1
  let timeMs = START_MS
  return Array.from({ length }, (_, at) => {
    if (prng.between(0, 9) === 0) term += 1
    // Leaders' clocks differ: time may fall along the log.
    timeMs += prng.between(0, 40_000) - 5_000
    const position = { index: asLogIndex(at + 1), term: asTerm(term) }
    if (prng.between(0, 12) === 0) return { position, command: null, timeMs: 0, idempotency: null }
    // Every sample once at least, in their order; then at random.
    const sample = samples[at < samples.length ? at : prng.between(0, samples.length)]
    const command = sample ?? new Uint8Array(0)
    const requestHash = createHash('sha256').update(command).digest()
    const idempotency =
      prng.between(0, 4) === 0 ? { key: `request-${prng.between(0, 6)}`, requestHash } : null
    return { position, command, timeMs, idempotency }
  })
}

/** Cuts a log into batches; `most` 1 makes each entry one. */
export function batchesOf(
  entries: readonly CommittedEntry[],
  prng: Prng,
  most: number,
): readonly (readonly CommittedEntry[])[] {
  const batches: CommittedEntry[][] = []
  for (let at = 0; at < entries.length; ) {
    const count = most === 1 ? 1 : prng.between(1, most + 1)
    batches.push(entries.slice(at, at + count))
    at += count
  }
  return batches
}

/** Applies the batches one by one; a configuration comes along, which the machine keeps unread. */
export async function applyAll(
  { machine }: Instance,
  batches: readonly (readonly CommittedEntry[])[],
): Promise<readonly string[]> {
  const results: string[] = []
  for (const batch of batches) {
    results.push(...(await machine.apply(batch, configurationAt(batch))).map(textOf))
  }
  return results
}

/** Some bytes, the same for every way to cut the log. */
export function configurationAt(batch: readonly CommittedEntry[]): Uint8Array {
  const index = batch.at(-1)?.position.index ?? 0
  return Uint8Array.of(Math.floor(index / 50), 7)
}

export function textOf(result: Result | null): string {
  if (result === null) return 'skipped'
  if (result.kind === 'rejected') return `rejected ${result.code}`
  return result.value === null ? 'done' : `done ${Buffer.from(result.value).toString('hex')}`
}

export function appliedText({ index, term, chainHash, configuration }: Applied): string {
  const hex = [chainHash, configuration].map(bytes => Buffer.from(bytes).toString('hex'))
  return `${index}/${term} ${hex.join(' ')}`
}

/** All that two replicas must have in common. */
export async function wholeOf(instance: Instance): Promise<string> {
  return `${appliedText(instance.machine.applied())} ${await instance.digest()}`
}
