/** Programs of other projects that are only to be had by building them: `go install`, where there is a Go. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

/** A first build takes a minute or two on two cores. */
const BUILD_MS_MAX = 300_000

export type Built = { readonly program: string } | { readonly missing: string }

/**
 * Built once and kept.
 * @param folder where the program is put
 * @param module with its version, such as `example.org/store@latest`
 */
export function goInstalled(folder: string, module: string): Built {
  const name = module.replace(/@.*$/, '').split('/').at(-1) ?? module
  const program = join(folder, name)
  if (existsSync(program)) return { program }
  mkdirSync(folder, { recursive: true })
  const { status, error, stderr } = spawnSync('go', ['install', module], {
    encoding: 'utf8',
    timeout: BUILD_MS_MAX,
    env: { ...process.env, GOBIN: folder },
  })
  if (status === 0 && existsSync(program)) return { program }
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') {
    return { missing: `${name} has no package and is built with Go, which is not installed` }
  }
  return { missing: `go install ${module}: ${reasonOf(stderr, error?.message)}` }
}

/** Go's last words without the address that it asked: whose proxy that is concerns nobody else. */
export function reasonOf(stderr: string, otherwise = 'ended without a word'): string {
  const words = stderr
    .trim()
    .replaceAll(/\s*https?:\/\/\S+/g, '')
    .replaceAll(/\s+/g, ' ')
  return words === '' ? otherwise : words.replace(/^go: /, '')
}
