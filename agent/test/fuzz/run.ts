/** Bytes that nobody meant: see `USAGE`. */

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { FuzzFailure, fuzz } from './campaign.ts'
import { allTargets } from './targets.ts'

const USAGE = `Valid input, changed byte by byte, for all that takes input from outside: the agents' protocol, their HTTP port,
and the script inside nginx. Nothing may crash, hang, answer 500 or keep memory.

usage: npm run fuzz -- [--cases N] [--seed S] [--target NAME]

  --cases N      in all (default 1000000)
  --seed S       repeats a run; without it, one is drawn and printed
  --target NAME  this one only

A case that is found belongs into agent/test/fuzz/found.json. Exit status: 0 nothing found, 1 something, 2 bad usage.
`

const SILENCE_MS = 60_000
const CHILD = 'FUZZ_CHILD'

process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  const wanted = parse(args)
  if (wanted === null) {
    process.stderr.write(USAGE)
    return 2
  }
  return process.env[CHILD] === undefined ? watch(wanted) : run(wanted)
}

interface Wanted {
  readonly cases: number
  readonly seed: number
  readonly target: string | null
}

function parse(args: readonly string[]): Wanted | null {
  const options = {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    target: { type: 'string' },
  } as const
  try {
    const { cases, seed, target = null } = parseArgs({ args: [...args], options }).values
    const all = [cases, seed].every(text => /^[0-9]{1,10}$/.test(text))
    return all ? { cases: Number(cases), seed: Number(seed), target } : null
  } catch {
    return null
  }
}

/** From outside: what hangs cannot say so. */
function watch({ cases, seed, target }: Wanted): Promise<number> {
  const args = ['--cases', `${cases}`, '--seed', `${seed}`, ...(target ? ['--target', target] : [])]
  const child = fork(fileURLToPath(import.meta.url), args, {
    env: { ...process.env, [CHILD]: '1' },
  })
  let last = 'its start'
  let hangs = false
  const late = () => {
    hangs = true
    child.kill('SIGKILL')
  }
  let timer = setTimeout(late, SILENCE_MS)
  child.on('message', text => {
    last = String(text)
    clearTimeout(timer)
    timer = setTimeout(late, SILENCE_MS)
  })
  return new Promise(resolve => {
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      if (hangs) say(`FOUND: it hangs somewhere after ${last}, seed ${seed}`)
      else if (signal !== null) say(`FOUND: it ended by ${signal} after ${last}, seed ${seed}`)
      resolve(code ?? 1)
    })
  })
}

async function run({ cases, seed, target: only }: Wanted): Promise<number> {
  say(`${cases} cases, seed ${seed}`)
  const there = await allTargets(seed)
  const all = there.filter(({ target }) => only === null || target.name === only)
  const shares = all.reduce((sum, { share }) => sum + share, 0)
  let found = all.length === 0 ? 1 : 0
  for (const { target, share } of all) {
    const own = Math.ceil((cases * share) / shares)
    const begin = performance.now()
    const onProgress = (done: number) => void process.send?.(`${done} cases of ${target.name}`)
    try {
      await fuzz({ target, cases: own, seed, onProgress })
      const seconds = ((performance.now() - begin) / 1000).toFixed(1)
      say(`${target.name}: ${own} cases, nothing found, ${seconds} s`)
    } catch (error) {
      if (!(error instanceof FuzzFailure)) throw error
      found += 1
      say(`FOUND: ${error.message}`)
    }
    onProgress(own)
  }
  for (const { target } of there) await target.close?.()
  say(found === 0 ? 'nothing found' : `${found} found, seed ${seed}`)
  // What is left of connections need not be waited for.
  process.disconnect?.()
  return found === 0 ? 0 : 1
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
