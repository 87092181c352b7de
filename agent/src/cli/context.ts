import type { Readable } from 'node:stream'
import type { Client } from './client.ts'

/** What a command may touch of the world, so that tests can give it another. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: { write(chunk: string | Uint8Array): unknown; readonly isTTY?: boolean }
  readonly stderr: { write(chunk: string): unknown }
  /** From now on Ctrl-C and SIGTERM abort what this returns, and do not end the process. */
  interrupt(): AbortSignal
}

/** What every command is given. */
export interface Context extends Surroundings {
  readonly client: Client
  /** results as JSON */
  readonly json: boolean
}

/** A result: one JSON text, or lines for people. */
export function say(context: Context, value: unknown, text: string): void {
  context.stdout.write(context.json ? `${JSON.stringify(value)}\n` : `${text}\n`)
}

/** Columns, left-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, at) =>
    Math.max(...rows.map(row => row[at]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')
  return rows.map(row => line(row).trimEnd()).join('\n')
}
