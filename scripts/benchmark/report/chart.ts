/** Bars as SVG: one group a load and concurrency, one bar a target. */

import { grouped } from '../../lib/grouped.ts'
import { TARGETS, type Target } from '../cluster.ts'
import type { Summary } from '../summary.ts'

const WIDTH = 760
const LABEL_WIDTH = 190
const VALUE_WIDTH = 90
const BAR = 14
const GAP = 3
const GROUP_GAP = 16
const TOP = 44
const TEXT = '#6b7280'
/** Ours are blue, the others warm or grey; readable on white and on black, and for the colour-blind. */
const COLOURS: Readonly<Record<Target, string>> = {
  agent: '#2563eb',
  'agent-socket': '#1d4ed8',
  gateway: '#60a5fa',
  'gateway-follower': '#93c5fd',
  'gateway-redirect': '#7dd3fc',
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
  const groups = [...grouped(results, ({ load, concurrency }) => `${load}, c = ${concurrency}`)]
  let y = TOP
  const parts: string[] = []
  for (const [name, rows] of groups) {
    parts.push(groupOf(name, rows, y))
    y += (rows.length + 1) * (BAR + GAP) + GROUP_GAP
  }
  const used = TARGETS.filter(target => results.some(result => result.target === target))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" font-family="system-ui, sans-serif" font-size="12" role="img">`,
    `<title>${escaped(title)}</title>`,
    text({ x: 0, y: 18, size: 15 }, title),
    text({ x: 0, y: 34, size: 11 }, `operations a second, medians; ${used.join(', ')}`),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
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
  return `<text ${place} fill="${TEXT}">${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
