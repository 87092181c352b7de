/** Markdown of a run. */

import { grouped } from '../../lib/grouped.ts'
import { TARGET_SPECS } from '../cluster.ts'
import type { Run } from '../findings.ts'
import type { GoalResult } from '../ratios.ts'
import { median, rounded } from '../statistics.ts'
import { type Measurement, pointName, type ScenarioSummary, type Summary } from '../summary.ts'

const HEAD = [
  'target',
  'c',
  'op/s',
  'range',
  'p50 ms',
  'p99 ms',
  'CPU µs/op',
  'client µs/op',
  'errors',
]

/** What else runs takes from each target what it likes: above this even ratios are chance. */
const OTHERS_PERCENT_MAX = 10
const GOALS_HEAD = [
  'ratio',
  'aim',
  'measured',
  'a connection a client, both',
  "ours so, etcd's on few",
  '',
]

/** Machine and versions. */
export function headText({
  machine,
  versions,
  options,
  startedAt,
  command,
}: Omit<Run, 'measurements' | 'samples' | 'failed'>) {
  const { cpu, cores, memoryGiB, kernel, filesystem, fdatasyncUs } = machine
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `${startedAt} · ${cores} × ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, ${filesystem}, fdatasync of 4 KiB ${fdatasyncUs} µs`,
    programs.join(' · '),
    `${options.nodes} nodes; ${options.repetitions} repetitions of ${options.seconds} s, ${options.keys} keys, values of ${options.valueBytes} bytes`,
    `\`${command}\``,
  ].join('\n')
}

/** One table a load. */
export function tablesText(results: readonly Summary[]): string {
  const loads = [...new Set(results.map(({ load }) => load))]
  return loads
    .map(load => {
      const rows = results.filter(result => result.load === load).map(row)
      return `### ${load}\n\n${table([HEAD, ...rows])}\n`
    })
    .join('\n')
}

/** A row a figure, a column for whomever it was measured of; what the disk can do has a table of its own. */
export function scenariosText(results: readonly ScenarioSummary[]): string {
  const [limits, figures] = [true, false].map(ofDisk =>
    results.filter(({ target }) => (target === 'disk') === ofDisk),
  )
  return [
    ...sectionOf('Limits of the disk', limits ?? []),
    ...sectionOf('Beside loads', figures ?? []),
  ].join('\n')
}

function sectionOf(title: string, results: readonly ScenarioSummary[]): string[] {
  if (results.length === 0) return []
  const targets = [...new Set(results.map(({ target }) => target))]
  const rows = [...grouped(results, ({ scenario }) => scenario)].map(([scenario, whose]) => {
    const cells = targets.map(target => spread(whose.find(one => one.target === target)))
    return [`${scenario}, ${whose[0]?.unit}`, ...cells]
  })
  return [`### ${title}\n\n${table([['median (range)', ...targets], ...rows])}\n`]
}

function spread(result: ScenarioSummary | undefined): string {
  if (result === undefined) return ''
  const { median, range, times } = result
  const [low, high] = range.map(figure)
  return times === 1 ? figure(median) : `${figure(median)} (${low} – ${high})`
}

export function goalsText(goals: readonly GoalResult[]): string {
  if (goals.length === 0) return ''
  const rows = goals.map(({ ratio, bound, value, measured, ownConnections, crossed, reached }) => [
    ratio,
    `${bound === 'at least' ? '≥' : '≤'} ${value}`,
    measured.toFixed(2),
    ownConnections?.toFixed(2) ?? '',
    crossed?.toFixed(2) ?? '',
    reached ? 'reached' : 'not reached',
  ])
  return `### Aims\n\n${table([GOALS_HEAD, ...rows])}\n`
}

/** How much of the machine went to others: above a few percent the figures are theirs as well. */
export function othersText(measurements: readonly Measurement[]): string {
  if (measurements.length === 0) return ''
  const shares = measurements.map(({ result }) => result.othersShare * 100)
  const [middle, highest] = [median(shares), Math.max(...shares)].map(share => share.toFixed(0))
  const warning = median(shares) > OTHERS_PERCENT_MAX ? ' **These are no figures to rely on.**' : ''
  return `CPU that went to neither servers nor load generator: median ${middle} % of the machine, up to ${highest} %.${warning}`
}

/** One line for a point as soon as it is measured. */
export function progressText({ repetition, result, ...point }: Measurement): string {
  const rate = thousands(result.operations / result.seconds)
  const errors = result.errors === 0 ? '' : `, ${result.errors} errors: ${result.firstError}`
  return `#${repetition + 1} ${pointName(point)}: ${rate}/s, p99 ${rounded(result.p99Ms, 2)} ms${errors}`
}

function row(result: Summary): string[] {
  const [lowest, highest] = result.perSecondRange
  return [
    TARGET_SPECS[result.target].peer === 'compared' ? 'base' : result.target,
    String(result.concurrency),
    thousands(result.perSecond),
    `${thousands(lowest)} – ${thousands(highest)}`,
    result.p50Ms.toFixed(2),
    result.p99Ms.toFixed(2),
    result.serverCpuUs.toFixed(0),
    result.clientCpuUs.toFixed(0),
    result.errors === 0 ? '0' : `${result.errors} (${result.firstError})`,
  ]
}

/** The first column is text, the others are figures. */
function table(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows
  const widths = head.map((_, column) => Math.max(3, ...rows.map(row => row[column]?.length ?? 0)))
  const lines = rows.map(cells => {
    const padded = cells.map((cell, column) => {
      const width = widths[column] ?? 0
      return column === 0 ? cell.padEnd(width) : cell.padStart(width)
    })
    return `| ${padded.join(' | ')} |`
  })
  const rules = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  lines.splice(1, 0, `| ${rules.join(' | ')} |`)
  return lines.join('\n')
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function figure(value: number): string {
  return value >= 100 ? thousands(value) : value.toFixed(1)
}
