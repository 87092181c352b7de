/** From what `--machine` says to what an agent's configuration says. */

import { existsSync, statSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { ROOT } from './layout.ts'

const EXAMPLES = join(ROOT, 'agent/examples')
const COMPILED = join(ROOT, 'agent/dist/examples')

/**
 * A name stays; a path becomes absolute. Of this project's examples the folder or the .ts is enough: what
 * the build made of it is what runs.
 * @throws Error when there is no such file
 */
export function machineOf(given: string): string {
  if (!/\/|\.[cm]?[jt]s$/.test(given)) return given
  const source = moduleOf(resolve(given))
  if (!source.startsWith(`${EXAMPLES}/`)) return existing(source)
  return existing(join(COMPILED, relative(EXAMPLES, source)).replace(/\.ts$/, '.js'))
}

/** `agent/examples/2-counter` holds `counter.ts`. */
function moduleOf(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path
  return join(path, `${basename(path).replace(/^[0-9]+-/, '')}.ts`)
}

function existing(path: string): string {
  if (existsSync(path)) return path
  throw new Error(`there is no module ${path}; examples are compiled by npm run build`)
}
