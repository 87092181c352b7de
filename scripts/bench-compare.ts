/** Two commits of this repository as ratios: see `USAGE`. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './benchmark/peers/agents.ts'

const USAGE = `Two commits in the same run, by turns: each ratio is HEAD to BASE.

usage: scripts/bench compare BASE HEAD [options of scripts/bench]

Both are taken out of git into a temporary directory and built there; this checkout is left alone. Where their
package-lock.json is not this checkout's, their packages are installed first.
Without other wishes: writes, linearizable and local reads at 1, 16, 64 and 256 in flight, the leader's agent.
`
const USUAL = ['--targets', 'agent', '--loads', 'writes,linearizable-reads,local-reads']

process.exitCode = main(process.argv.slice(2))

/** @returns the exit code */
function main([base, head, ...options]: readonly string[]): number {
  if (base === undefined || head === undefined || base.startsWith('-')) {
    console.log(USAGE)
    return base === '--help' || base === '-h' ? 0 : 2
  }
  // a Ctrl-C reaches the bench as well, which ends its servers by itself
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
  const directory = mkdtempSync(join(tmpdir(), 'raft-nginx-compare-'))
  try {
    const [baseRoot, headRoot] = [base, head].map(commit => built(directory, commit))
    const own = ['--agent', headRoot ?? '', '--compare', baseRoot ?? '', '--scenarios', '']
    const { status } = spawnSync(join(ROOT, 'scripts/bench'), [...USUAL, ...own, ...options], {
      stdio: 'inherit',
    })
    return status ?? 1
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** @returns where it was built @throws Error with what git, npm or the compiler says */
function built(directory: string, commit: string): string {
  const id = run('git', ['rev-parse', '--verify', `${commit}^{commit}`], ROOT).trim()
  const root = join(directory, id)
  if (existsSync(root)) return root
  console.error(`${commit}: ${id}`)
  mkdirSync(root)
  const archive = join(directory, `${id}.tar`)
  run('git', ['archive', '-o', archive, id], ROOT)
  run('tar', ['-xf', archive, '-C', root], ROOT)
  rmSync(archive)
  const lock = (folder: string) => readFileSync(join(folder, 'package-lock.json'), 'utf8')
  if (lock(root) === lock(ROOT)) symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  else run('npm', ['ci', '--no-audit', '--no-fund'], root)
  run(join(root, 'node_modules/.bin/tsc'), ['-b', 'agent'], root)
  return root
}

function run(program: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, [...args], { cwd, encoding: 'utf8' })
  if (status === 0) return stdout
  const said = error?.message ?? `${stdout.slice(-2_000)}${stderr}`
  throw new Error(`${program} ${args.join(' ')}: ${said.trim()}`)
}
