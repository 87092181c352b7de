import type { z } from 'zod'
import { shapeAt } from './settings.ts'

/** One thing that is wrong with the configuration. */
export interface Fault {
  readonly path: readonly PropertyKey[]
  /** Goes on from the path: "must be …", "is missing". */
  readonly problem: string
}

const EXPECTED: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a whole number',
  object: 'an object',
  string: 'text',
}

/** What zod found below `parent`, in our words: one fault, or one for each unknown key. */
export function faultsOf(issue: z.core.$ZodIssue, parent: readonly string[]): readonly Fault[] {
  const path = [...parent, ...issue.path]
  if (issue.code === 'unrecognized_keys') return issue.keys.map(key => unknownKey([...path, key]))
  if (issue.input === undefined) return [{ path, problem: 'is missing' }]
  return [{ path, problem: `${requirement(issue)}, is ${show(issue.input)}` }]
}

function requirement(issue: z.core.$ZodIssue): string {
  const things = 'origin' in issue ? UNITS[issue.origin] : undefined
  const unit = things === undefined ? '' : ` ${things}`
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${EXPECTED[issue.expected] ?? issue.expected}`
    case 'too_small':
      return `must be at least ${issue.minimum}${unit}`
    case 'too_big':
      return `must be at most ${issue.maximum}${unit}`
    case 'invalid_value':
      return `must be ${issue.values.map(value => JSON.stringify(value)).join(' or ')}`
    default:
      return issue.message
  }
}

const UNITS: Readonly<Record<string, string>> = { string: 'characters', array: 'in the list' }

/** Names the key that was probably meant. */
export function unknownKey(path: readonly PropertyKey[]): Fault {
  const known = Object.keys(shapeAt(path.slice(0, -1))?.properties ?? {})
  const hint = nearest(String(path.at(-1)), known)
  const problem =
    hint === null
      ? `is not a setting; known here: ${known.join(', ') || 'none'}`
      : `is not a setting; did you mean ${hint}?`
  return { path, problem }
}

/** `nodes[1].raft_bind` */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key, at) =>
      typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`,
    )
    .join('')
}

/** A value in one short line. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** The most similar of `candidates`, unless none is similar. */
export function nearest(text: string, candidates: readonly string[]): string | null {
  let best: string | null = null
  let distance = Math.max(2, Math.floor(text.length / 3)) + 1
  for (const candidate of candidates) {
    const own = editDistance(text.toLowerCase(), candidate.toLowerCase())
    if (own >= distance) continue
    best = candidate
    distance = own
  }
  return best
}

/** Levenshtein's: insertions, deletions and replacements of one character. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(above, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(at(above, j) + 1, at(row, j - 1) + 1, replaced))
    }
  }
  return at(row, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
