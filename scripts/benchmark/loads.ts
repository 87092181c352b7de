/** What can be measured, and what each of it asks of a server. */

import type { Job } from './job.ts'

/**
 * The order is the tables'. `local-reads` are answered by the asked node alone: committed, perhaps not the newest
 * (etcd: serializable; Consul: stale). `edge-reads` are the same out of nginx's memory.
 */
export const LOAD_NAMES = [
  'writes',
  'linearizable-reads',
  'local-reads',
  'edge-reads',
  'mixed',
  // Last: what they write would be what is read.
  'writes-1k',
  'writes-64k',
] as const
export type LoadName = (typeof LOAD_NAMES)[number]

export interface LoadSpec {
  readonly load: Job['load']
  readonly freshness: NonNullable<Job['freshness']>
  /** null: as `--value-bytes` says */
  readonly valueBytes: number | null
  /** null: as `--keys` says */
  readonly keys: number | null
  readonly text: string
}

const write = { load: 'writes', freshness: 'local', keys: null } as const
const read = { load: 'reads', valueBytes: null, keys: null } as const

export const LOAD_SPECS: Readonly<Record<LoadName, LoadSpec>> = {
  writes: { ...write, valueBytes: null, text: 'one key each, durable on a majority' },
  'writes-1k': { ...write, valueBytes: 1_024, text: 'writes with values of 1 KiB' },
  'writes-64k': { ...write, valueBytes: 65_536, keys: 200, text: 'writes with values of 64 KiB' },
  'linearizable-reads': {
    ...read,
    freshness: 'linearizable',
    text: 'the newest value, for certain',
  },
  'local-reads': { ...read, freshness: 'local', text: 'what the asked node has applied' },
  'edge-reads': { ...read, freshness: 'edge', text: "what nginx's memory has" },
  mixed: {
    ...{ load: 'mixed', freshness: 'linearizable', valueBytes: null, keys: null },
    text: '9 linearizable reads to a write',
  },
}
