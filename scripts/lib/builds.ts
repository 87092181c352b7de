/** Which built checkout a node runs: this one, unless it was given another. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type NodePlace, ROOT } from './layout.ts'

/** Below a built checkout. */
export const AGENT_PROGRAM = 'agent/dist/main.js'
export const RENDER_PROGRAM = 'agent/dist/gateway/render-main.js'

/** Its root. */
export function buildOf(node: NodePlace): string {
  const file = fileOf(node)
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : ROOT
}

/** From the next start of its agent on, and the next time that its gateway is rendered. */
export function useBuild(node: NodePlace, root: string): void {
  mkdirSync(node.directory, { recursive: true })
  writeFileSync(fileOf(node), `${root}\n`)
}

/** Why no node can run it; null where one can. */
export function whyNoBuild(root: string): string | null {
  const missing = [AGENT_PROGRAM, RENDER_PROGRAM].find(name => !existsSync(join(root, name)))
  return missing === undefined ? null : `${join(root, missing)} is missing: npm run build there`
}

function fileOf({ directory }: NodePlace): string {
  return join(directory, 'build')
}
