import { spawn } from 'node:child_process'
import { join } from 'node:path'

const LOADER = join(import.meta.dirname, '../../node_modules/tsx/dist/loader.mjs')
const RUN_MS_MAX = 240_000

export interface ChildEnd {
  /** null: it was killed, after some minutes at the latest */
  readonly code: number | null
  /** what it printed */
  readonly output: string
}

/** Runs a TypeScript file in a process of its own: a loop without end there does not end here. */
export function runChild(args: readonly string[]): Promise<ChildEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', LOADER, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: RUN_MS_MAX,
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code, output }))
  })
}
