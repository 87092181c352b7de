/** Puts the figures of a run into the documentation, between two marks; the words around them stay. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Run } from '../findings.ts'
import { summarize, summarizeScenarios } from '../summary.ts'
import { chartOf } from './chart.ts'
import { reportOf } from './json.ts'
import { goalsText, headText, othersText, scenariosText, tablesText } from './tables.ts'

const BEGIN = '<!-- figures: scripts/bench --write-docs -->'
const END = '<!-- end of figures -->'

/** @param folder where benchmarks.md is @throws Error where it has no marks */
export function writeDocs(run: Run, folder: string): void {
  const file = join(folder, 'benchmarks.md')
  writeFileSync(file, withFigures(readFileSync(file, 'utf8'), figuresOf(run)))
  const title = `raft-nginx beside others, ${run.options.nodes} nodes, ${run.startedAt.slice(0, 10)}`
  writeFileSync(join(folder, 'benchmarks.svg'), chartOf(summarize(run.measurements), title))
}

/** The document with other figures between its marks. */
export function withFigures(document: string, figures: string): string {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`benchmarks.md has no ${BEGIN} … ${END}`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${figures.trim()}\n\n${document.slice(end)}`
}

function figuresOf(run: Run): string {
  const { skipped, failed, measurements, samples } = run
  return [
    headText(run).replaceAll('\n', '  \n'),
    othersText(measurements),
    ...[...skipped, ...failed].map(({ what, reason }) => `Not measured: ${what}: ${reason}.`),
    '![Operations a second](benchmarks.svg)',
    goalsText(reportOf(run).goals),
    tablesText(summarize(measurements)),
    scenariosText(summarizeScenarios(samples)),
  ]
    .filter(part => part !== '')
    .join('\n\n')
    .replaceAll('\n\n\n', '\n\n')
}
