/** Processes of their own, for what must not share this one. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** By its path: a child may run in a directory without node_modules. */
const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

/** Runs a file of this folder to its end. What it prints on stderr is shown. */
export async function runChild(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly output: string; readonly end: string }> {
  const file = fileURLToPath(new URL(name, import.meta.url))
  // Nothing of this environment: a test runner's would instrument the child.
  const { PATH = '' } = process.env
  const child = spawn(process.execPath, ['--import', LOADER, file, ...args], {
    env: { PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>
  let output = ''
  for await (const chunk of child.stdout) output += chunk
  const [code, signal] = await exited
  return { output, end: signal ?? `exit code ${code}` }
}
