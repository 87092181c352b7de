/** Programs of the system that an installation runs. */

import { spawnSync } from 'node:child_process'

/** `text` is all that it said, or why it could not be run. */
export function run(program: string, args: readonly string[]) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  return { ok: status === 0, text: error?.message ?? `${stdout}${stderr}` }
}

/** @throws Error with what it said, unless it ends with 0 */
export function must(program: string, args: readonly string[]): void {
  const { ok, text } = run(program, args)
  if (!ok) throw new Error(`${program} ${args[0] ?? ''}: ${text.trim()}`)
}
