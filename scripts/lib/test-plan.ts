/** Which stages the tests have. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './layout.ts'
import { makeRoot, SUITES, SYSTEM_NGINX } from './matrix.ts'

export interface TestStage {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  readonly timeoutMs: number
  /** beside the tests' own environment */
  readonly env?: Readonly<Record<string, string>>
  /** `whole`: it passes or fails as one */
  readonly output: 'tap' | 'whole'
  /** It needs the machine to itself. */
  readonly alone?: boolean
  /** It skips what needs js_shared_dict_zone where no nginx has it. */
  readonly edge?: boolean
}

const MINUTE_MS = 60_000
const GATEWAY = 'njs/test/gateway/'
/** Simulations use all cores; benchmarks measure; faults are to be those that are made. */
const ALONE = /\b(?:seeds|bench|nemesis)\.process\.ts$/
const FOLDERS = ['agent/test', 'njs/test']

/** @param only part of the name of a stage or of a test file; null for all */
export function testPlan(only: string | null): TestStage[] {
  const wanted = (name: string) => only === null || name.includes(only)
  const unit = filesEnding('.test.ts').filter(wanted)
  const processes = filesEnding('.process.ts').filter(wanted)
  return [
    ...(wanted('check') ? [checkStage()] : []),
    ...(unit.length > 0 ? [unitStage(only === null ? [] : unit)] : []),
    ...processes.map(processStage),
  ]
}

/** The gateway on every nginx that it is made for. */
export function matrixPlan(only: string | null): TestStage[] {
  const files = filesEnding('.process.ts').filter(name => name.startsWith(GATEWAY))
  const wanted = files.filter(name => only === null || name.includes(only))
  const programs = new Map<string, string>([['this machine', SYSTEM_NGINX]])
  for (const suite of SUITES) programs.set(suite, makeRoot(suite))
  programs.set('sid with QuickJS', makeRoot('sid'))
  return [...programs].flatMap(([where, program]) => {
    const engine = where.includes('QuickJS') ? { GATEWAY_TEST_ENGINE: 'qjs' } : {}
    const env = { GATEWAY_TEST_NGINX: program, ...engine }
    return wanted.map(file => ({ ...processStage(file), name: `${file} on ${where}`, env }))
  })
}

function checkStage(): TestStage {
  const args = ['run', '--silent', 'check']
  return {
    name: 'check',
    program: 'npm',
    args,
    timeoutMs: 10 * MINUTE_MS,
    output: 'whole',
    alone: true,
  }
}

/** @param files none for all: tap has its own list */
function unitStage(files: readonly string[]): TestStage {
  const args = [join(ROOT, 'node_modules/.bin/tap'), 'run', '--reporter=tap', ...files]
  const timeoutMs = 20 * MINUTE_MS
  return { name: 'tap run', program: process.execPath, args, timeoutMs, output: 'tap', alone: true }
}

/** A file that starts real processes runs by itself: tap would instrument them too. */
function processStage(file: string): TestStage {
  const loader = join(ROOT, 'node_modules/tsx/dist/loader.mjs')
  const args = ['--import', loader, file]
  const timeoutMs = 15 * MINUTE_MS
  const edge = /(?:edge|examples|structure)[^/]*$/.test(file)
  const alone = ALONE.test(file)
  return { name: file, program: process.execPath, args, timeoutMs, output: 'tap', edge, alone }
}

function filesEnding(suffix: string): string[] {
  return FOLDERS.flatMap(folder => {
    const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    const files = names.filter(name => name.endsWith(suffix) && !name.includes('node_modules'))
    return files.sort().map(name => join(folder, name))
  })
}
