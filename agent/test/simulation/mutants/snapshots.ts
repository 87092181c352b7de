import type { Mutant } from './mutant.ts'

/** What the log forgets, and what takes its place. */
export const SNAPSHOT_MUTANTS: readonly Mutant[] = [
  {
    id: 'M16',
    change: 'an install keeps a tail of the log that does not match it',
    file: 'src/raft/log.ts',
    find: '  reset(base: LogPosition): void {\n    if (this.termAt(base.index) === base.term) {',
    replace: '  reset(base: LogPosition): void {\n    if (base.index <= this.#last.index) {',
    scenario: 'raft/snapshots.test.ts',
    seeds: 2000,
  },
  {
    id: 'M17',
    change: 'snapshots leave out which requests were answered',
    file: 'test/simulation/machine.ts',
    find: 'this.#answers = new Map(answers)',
    replace: 'this.#answers = new Map([...answers].slice(0, 0))',
    scenario: null,
    seeds: 500,
  },
  {
    id: 'M55',
    change: 'a snapshot is acknowledged before it is installed',
    file: 'test/simulation/snapshotting.ts',
    find: '    this.#installing = header\n    later(() => {\n      this.#finish(header)\n      for (const message of whenInstalled) send(message)\n',
    replace:
      '    this.#installing = header\n    for (const message of whenInstalled) send(message)\n    later(() => {\n      this.#finish(header)\n',
    scenario: null,
    seeds: 500,
  },
]
