import type { Mutant } from './mutant.ts'

/** Requests that are tried again. */
export const SESSION_MUTANTS: readonly Mutant[] = [
  {
    id: 'M40',
    change: 'the simulated machine forgets which requests it answered',
    file: 'test/simulation/machine.ts',
    find: 'if (request !== null && this.#answers.has(request)) return false',
    replace: '',
    scenario: null,
    seeds: 50,
  },
  {
    id: 'M41',
    change: 'the key-value machine forgets which requests it answered',
    file: 'src/machine/sqlite/sessions.ts',
    find: '    if (known !== undefined && known.timeMs > expiry) {',
    replace: '    if (known !== undefined && known.timeMs > nowMs) {',
    scenario: 'machine/kv-sessions.test.ts',
    seeds: 0,
  },
]
