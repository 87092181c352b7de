/** What the renderer's command line says of reads out of nginx's own memory. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { CommandLine, Described } from './command-line.ts'
import { runNginx } from './nginx-binary.ts'
import type { EdgeOptions, RenderOptions } from './render-input.ts'

const DEFAULT_SIZE = '64m'

/** What the choice depends on. */
interface Around {
  readonly binary: string
  readonly jsModule: string | null
  readonly prefix: string
  /** njs bundle of the rest */
  readonly bundle: string
  readonly described: Described
}

/**
 * Null: all reads go to the agent.
 * @throws Error when they are asked for, and this nginx cannot
 */
export function edgeOptionsOf(line: CommandLine, around: Around): RenderOptions['edge'] {
  const wanted = line['edge-reads']
  if (wanted === 'off') return null
  if (!hasSharedDict(around.binary, around.jsModule)) {
    if (wanted === 'auto') return null
    throw new Error('--edge-reads: this nginx has no js_shared_dict_zone (njs 0.8 or later)')
  }
  const { edgeSocket } = around.described
  const socket = line['edge-socket'] ?? edgeSocket ?? path.join(around.prefix, 'run/edge.sock')
  const bundle = line['edge-bundle'] ?? path.join(path.dirname(around.bundle), 'edge.js')
  return {
    size: wanted === 'auto' ? DEFAULT_SIZE : wanted,
    socket: path.resolve(socket),
    bundle: path.resolve(bundle),
    staleMaxMs: Number(line['edge-stale-max']) * 1000,
  } satisfies EdgeOptions
}

/**
 * The file that an nginx which was killed has left: the next one would not start for it. A socket that somebody listens
 * on stays.
 */
export async function removeDeadSocket(edge: RenderOptions['edge']): Promise<void> {
  if (edge === null || !existsSync(edge.socket)) return
  const refused = await new Promise<boolean>(resolve => {
    const probe = connect(edge.socket)
    const end = (answer: boolean) => {
      probe.destroy()
      resolve(answer)
    }
    probe.on('connect', () => end(false))
    probe.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'))
  })
  if (refused) rmSync(edge.socket)
}

/** Asked of nginx itself, by a configuration that has nothing else. */
export function hasSharedDict(binary: string, jsModule: string | null): boolean {
  const folder = mkdtempSync(path.join(tmpdir(), 'raft-nginx-probe-'))
  try {
    const file = path.join(folder, 'nginx.conf')
    const load = jsModule === null ? '' : `load_module ${jsModule};`
    const zone = 'js_shared_dict_zone zone=probe:64k;'
    writeFileSync(file, `${load} pid ${folder}/pid; events {} http { ${zone} }\n`)
    const args = ['-t', '-q', '-e', 'stderr', '-p', folder, '-c', file]
    return runNginx(binary, args).ok
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
