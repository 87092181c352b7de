import type { Machine } from './machine.ts'
import type { Options } from './options.ts'
import type { Skipped } from './peers/clusters.ts'
import type { Measurement, Sample } from './summary.ts'

/** What one run has found. */
export interface Run {
  readonly startedAt: string
  /** how it is run again */
  readonly command: string
  readonly machine: Machine
  readonly versions: Readonly<Record<string, string>>
  readonly options: Options
  readonly skipped: readonly Skipped[]
  /** scenarios that had to be given up */
  readonly failed: readonly Skipped[]
  readonly measurements: readonly Measurement[]
  readonly samples: readonly Sample[]
}
