import type { Machine } from './machine.ts'
import type { Options } from './options.ts'
import { type Measurement, median, pointName, type Summary } from './summary.ts'

export interface Run {
  readonly startedAt: string
  readonly machine: Machine
  readonly versions: Readonly<Record<string, string>>
  readonly options: Options
  readonly measurements: readonly Measurement[]
  readonly results: readonly Summary[]
}

const HEAD = [
  'c',
  'target',
  'op/s',
  'range',
  'p50 ms',
  'p99 ms',
  'CPU µs/op',
  'client µs/op',
  '× etcd',
  'errors',
]
const TEXT_COLUMN = 1

/** Machine and versions in Markdown. */
export function headText({
  machine,
  versions,
  options,
  startedAt,
}: Omit<Run, 'measurements' | 'results'>): string {
  const { cpu, cores, memoryGiB, kernel, filesystem, fdatasyncUs } = machine
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `${startedAt} · ${cores} × ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, ${filesystem}, fdatasync of 4 KiB ${fdatasyncUs} µs`,
    programs.join(' · '),
    `${options.repetitions} repetitions of ${options.seconds} s, ${options.keys} keys, values of ${options.valueBytes} bytes`,
  ].join('\n')
}

/** One Markdown table a load. */
export function tablesText(results: readonly Summary[]): string {
  const loads = [...new Set(results.map(({ load }) => load))]
  return loads
    .map(load => {
      const rows = results.filter(result => result.load === load).map(row)
      return `### ${load}\n\n${table([HEAD, ...rows])}\n`
    })
    .join('\n')
}

/** How much of the machine went to others: above a few percent the figures are theirs as well. */
export function othersText(measurements: readonly Measurement[]): string {
  const shares = measurements.map(({ result }) => result.othersShare * 100)
  const [middle, highest] = [median(shares), Math.max(...shares)].map(share => share.toFixed(0))
  return `CPU that went to neither servers nor load generator: median ${middle} % of the machine, up to ${highest} %`
}

/** What a program reads: every figure, and the ratios by name. */
export function jsonText(run: Run): string {
  const ratios = run.results.flatMap(result =>
    result.timesEtcd === null ? [] : [[pointName(result), round(result.timesEtcd, 3)] as const],
  )
  return `${JSON.stringify({ ...run, ratios: Object.fromEntries(ratios) }, null, 2)}\n`
}

/** One line for a point as soon as it is measured. */
export function progressText({ repetition, result, ...point }: Measurement): string {
  const rate = thousands(result.operations / result.seconds)
  const errors = result.errors === 0 ? '' : `, ${result.errors} errors: ${result.firstError}`
  return `#${repetition + 1} ${pointName(point)}: ${rate}/s, p99 ${round(result.p99Ms, 2)} ms${errors}`
}

function row(result: Summary): string[] {
  const [lowest, highest] = result.perSecondRange
  return [
    String(result.concurrency),
    result.target,
    thousands(result.perSecond),
    `${thousands(lowest)} – ${thousands(highest)}`,
    round(result.p50Ms, 2).toFixed(2),
    round(result.p99Ms, 2).toFixed(2),
    result.serverCpuUs.toFixed(0),
    result.clientCpuUs.toFixed(0),
    result.timesEtcd === null ? '' : result.timesEtcd.toFixed(2),
    result.errors === 0 ? '0' : `${result.errors} (${result.firstError})`,
  ]
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = HEAD.map((_, column) => Math.max(...rows.map(cells => cells[column]?.length ?? 0)))
  const lines = rows.map(cells => {
    const padded = cells.map((cell, column) => {
      const width = widths[column] ?? 0
      return column === TEXT_COLUMN ? cell.padEnd(width) : cell.padStart(width)
    })
    return `| ${padded.join(' | ')} |`
  })
  const rules = widths.map((width, column) =>
    column === TEXT_COLUMN ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  lines.splice(1, 0, `| ${rules.join(' | ')} |`)
  return lines.join('\n')
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}
