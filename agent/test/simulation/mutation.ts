import { join } from 'node:path'
import { runChild } from '../child.ts'
import { SourceCopy } from '../source-copy.ts'
import type { Mutant } from './mutants/mutant.ts'
import { FIRST_SEED, MUTANTS } from './mutants.ts'

type Verdict =
  | { readonly kind: 'killed'; readonly by: string }
  | { readonly kind: 'survived' }
  /** not a single event differs: worse, for the changed line was never tried */
  | { readonly kind: 'not reached' }
  /** the table does not fit the source any more */
  | { readonly kind: 'broken'; readonly why: string }

const AGENT = join(import.meta.dirname, '../..')
const WORKERS = 2

/**
 * Changes one line at a time in copies of the sources, and runs what has to notice it, each in a
 * process of its own. Returns how many went unnoticed.
 */
export async function killMutants(
  only: string | null,
  say: (line: string) => void,
): Promise<number> {
  const mutants = MUTANTS.filter(({ id }) => only === null || id === only)
  if (mutants.length === 0) throw new RangeError(`no mutant ${only}`)
  const benches: readonly Bench[] = Array.from({ length: WORKERS }, () => new Bench())
  try {
    const queue = [...mutants]
    let unnoticed = 0
    const work = async (bench: Bench): Promise<void> => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const verdict = await bench.try(mutant)
        if (verdict.kind !== 'killed') unnoticed++
        say(`${mutant.id} ${show(verdict)}: ${mutant.change}`)
      }
    }
    await Promise.all(benches.map(work))
    say(`${mutants.length} mutants, ${unnoticed} unnoticed`)
    return unnoticed
  } finally {
    for (const bench of benches) bench.remove()
  }
}

/** A copy of the sources that holds one mutant at a time. */
class Bench {
  readonly #copy = new SourceCopy('mutants')

  async try(mutant: Mutant): Promise<Verdict> {
    const { file, find, replace } = mutant
    let undo = () => {}
    try {
      undo = this.#copy.patch({ file, find, replace })
    } catch (error) {
      if (error instanceof RangeError) return { kind: 'broken', why: error.message }
      throw error
    }
    try {
      return await this.#judge(mutant)
    } finally {
      undo()
    }
  }

  remove(): void {
    this.#copy.remove()
  }

  async #judge({ scenario, seeds }: Mutant): Promise<Verdict> {
    if (scenario !== null) {
      const name = await this.#scenario(scenario)
      if (name !== null) return { kind: 'killed', by: `by scenario "${name}"` }
    }
    if (seeds === 0) return { kind: 'survived' }
    const mutated = await this.#walk(this.#copy.agent, seeds)
    if (mutated.by !== null) return { kind: 'killed', by: mutated.by }
    const original = await this.#walk(AGENT, seeds)
    return { kind: mutated.hash === original.hash ? 'not reached' : 'survived' }
  }

  /** The name of the first test that fails; null: none does. */
  async #scenario(file: string): Promise<string | null> {
    const { code, output } = await runChild([join(this.#copy.agent, 'test', file)])
    if (code === 0) return null
    const failed = /^not ok \d+ - (.*?)(?: # time=.*)?$/m.exec(output)
    return failed?.[1]?.replaceAll('\\', '') ?? `${file} crashes`
  }

  async #walk(agent: string, seeds: number): Promise<{ by: string | null; hash: string }> {
    const { code, output } = await runChild([
      join(agent, 'test/simulation/run.ts'),
      ...['--seed', `${FIRST_SEED}`, '--seeds', `${seeds}`, '--first', '--json'],
    ])
    const hash = /"hash":"(\w+)"/.exec(output)?.[1] ?? ''
    const violation = /^seed (\d+): (.*)$/m.exec(output)
    if (violation !== null) return { by: `at seed ${violation[1]} (${violation[2]})`, hash }
    return { by: code === 0 ? null : 'by a run that does not end well', hash }
  }
}

function show(verdict: Verdict): string {
  if (verdict.kind === 'killed') return `killed ${verdict.by}`
  return verdict.kind === 'broken' ? `broken, ${verdict.why}` : verdict.kind
}
