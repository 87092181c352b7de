/** Bars as SVG: one group a load and concurrency, one bar a target. */

import { grouped } from '../../lib/grouped.ts'
import type { Target } from '../cluster.ts'
import { comparedAs } from '../plan.ts'
import type { Summary } from '../summary.ts'

const WIDTH = 760
const LABEL_WIDTH = 190
const VALUE_WIDTH = 90
const BAR = 14
const GAP = 3
const GROUP_GAP = 16
const TOP = 44
/** Black on white, white on black: an image follows the reader's own choice. */
const STYLE = `text { fill: #1f2937 } @media (prefers-color-scheme: dark) { text { fill: #e5e7eb } }`
/** Where most of a store's throughput is reached; writes are shown at every one. */
const USUAL_CONCURRENCY = 64
/** Ours are blue, the others warm or grey; readable on white and on black, and for the colour-blind. */
const COLOURS: Readonly<Record<Target, string>> = {
  'agent-pipelined': '#1e40af',
  agent: '#2563eb',
  'agent-socket': '#1d4ed8',
  gateway: '#60a5fa',
  'gateway-follower': '#93c5fd',
  'gateway-redirect': '#7dd3fc',
  'edge-pipelined': '#0e7490',
  edge: '#06b6d4',
  compared: '#a78bfa',
  etcd: '#f59e0b',
  'etcd-conns': '#d97706',
  'etcd-v2': '#fbbf24',
  consul: '#db2777',
  hraftd: '#a3a3a3',
  redis: '#dc2626',
  'nginx-file': '#737373',
}

/** Operations a second, medians; each group by its own scale, since reads and writes differ by ten. */
export function chartOf(results: readonly Summary[], title: string): string {
  const groups = [...grouped(shownOf(results), groupName)]
  let y = TOP
  const parts: string[] = []
  for (const [name, rows] of groups) {
    parts.push(groupOf(name, rows, y))
    y += (rows.length + 1) * (BAR + GAP) + GROUP_GAP
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" font-family="system-ui, sans-serif" font-size="12" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    text({ x: 0, y: 18, size: 15 }, title),
    text({ x: 0, y: 34, size: 11 }, 'operations a second, medians; each group by its own scale'),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

/** All loads at all concurrencies are the tables' matter. */
function shownOf(results: readonly Summary[]): readonly Summary[] {
  const shown = results.filter(
    ({ load, concurrency }) => load === 'writes' || concurrency === USUAL_CONCURRENCY,
  )
  return shown.length > 0 ? shown : results
}

/** Reads out of nginx's memory stand among the others' local reads, the files among them. */
function groupName({ load, concurrency }: Summary): string {
  return `${comparedAs(load)}, c = ${concurrency}`
}

function groupOf(name: string, rows: readonly Summary[], top: number): string {
  const most = Math.max(1, ...rows.map(({ perSecond }) => perSecond))
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / most
  const bars = rows.map(({ target, perSecond }, at) => {
    const y = top + (at + 1) * (BAR + GAP)
    const width = Math.max(1, perSecond * scale).toFixed(1)
    const baseline = y + BAR - 3
    const value = Math.round(perSecond).toLocaleString('en-US')
    return [
      text({ x: 12, y: baseline, size: 12 }, target === 'compared' ? 'base' : target),
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${COLOURS[target]}"/>`,
      text({ x: LABEL_WIDTH + Number(width) + 6, y: baseline, size: 11 }, value),
    ].join('\n')
  })
  return [text({ x: 0, y: top + BAR - 3, size: 13 }, name), ...bars].join('\n')
}

function text(
  { x, y, size }: { readonly x: number; readonly y: number; readonly size: number },
  words: string,
): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="${size}"`
  return `<text ${place}>${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
