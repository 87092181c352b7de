import type { Run } from '../findings.ts'
import type { Machine } from '../machine.ts'
import type { Skipped } from '../peers/clusters.ts'
import { type GoalResult, goalsOf, ratiosOf } from '../ratios.ts'
import { type ScenarioSummary, type Summary, summarize, summarizeScenarios } from '../summary.ts'

/** What `--json` prints: one object. */
export interface Report {
  readonly startedAt: string
  readonly command: string
  readonly machine: Machine
  readonly versions: Readonly<Record<string, string>>
  readonly results: readonly (Summary | ScenarioSummary)[]
  /** ours to the others', by name: see ratios.ts */
  readonly ratios: Readonly<Record<string, number>>
  readonly goals: readonly GoalResult[]
  /** what was asked for and could not be had */
  readonly skipped: readonly Skipped[]
  /** scenarios that had to be given up */
  readonly failed: readonly Skipped[]
}

export function reportOf(run: Run): Report {
  const { startedAt, command, machine, versions, skipped, failed, measurements, samples } = run
  const ratios = ratiosOf(measurements, samples)
  const results = [...summarize(measurements), ...summarizeScenarios(samples)]
  return {
    startedAt,
    command,
    machine,
    versions,
    results,
    ratios,
    goals: goalsOf(ratios),
    skipped,
    failed,
  }
}
