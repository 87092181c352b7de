/** What a log says at its end, for people. */

import { existsSync, readFileSync } from 'node:fs'

const LINES = 8
const LINE_CHARACTERS_MAX = 400

/** One line of an agent's log. */
export interface LogEvent {
  readonly level: number
  readonly node: string
  readonly msg: string
  /** of a change of role */
  readonly role?: string
  readonly term?: number
  readonly [field: string]: unknown
}

/** Null for what is not one of the agent's own lines. */
export function parseLogLine(line: string): LogEvent | null {
  if (!line.startsWith('{')) return null
  try {
    const value = JSON.parse(line) as LogEvent
    return typeof value.msg === 'string' ? value : null
  } catch {
    return null
  }
}

/** The last lines, indented, under the name of the file. Agents' JSON is shortened to what people read. */
export function tailOf(file: string): string {
  if (!existsSync(file)) return ''
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LINES)
  const shown = lines.map(line => `    ${readable(line).slice(0, LINE_CHARACTERS_MAX)}`)
  return `  end of ${file}:\n${shown.join('\n')}`
}

function readable(line: string): string {
  const event = parseLogLine(line)
  if (event === null) return line
  const { level, time, node, msg, pid, hostname, err, ...rest } = event
  return Object.keys(rest).length === 0 ? msg : `${msg} ${JSON.stringify(rest)}`
}
