import { join } from 'node:path'
import t from 'tap'
import { runChild } from '../../child.ts'
import { type Patch, SourceCopy } from '../../source-copy.ts'
import type { End } from './overwrite-child.ts'

// Each test compiles and runs the sources anew.
t.setTimeout(120_000)

/**
 * Design F: three guards stand between what is committed and a leader that would overwrite it. None of
 * them ever acts while the others do; so that each is known to work, it is met here without the others.
 * Each list makes one guard trust whatever it is given.
 */
const TRUSTING: Readonly<Record<'core' | 'log store' | 'machine', readonly Patch[]>> = {
  core: [
    {
      file: 'src/raft/following.ts',
      find: '  assertCommittedStands(core, message)\n',
      replace: '',
    },
    {
      file: 'src/raft/following.ts',
      find: '  if (message.prev.index < state.commit) {',
      replace: '  if (message.prev.index < log.base.index) {',
    },
    {
      // The leader is believed to the end: what it replaces was never committed, nor applied.
      file: 'src/raft/following.ts',
      find: "  assert(first.index > state.commit, 'an entry at or below commitIndex is never replaced')\n",
      replace:
        '  if (first.index <= state.commit) state.commit = state.applying = state.applied = first.index - 1\n',
    },
  ],
  'log store': [
    {
      file: 'src/log/log-outline.ts',
      find: "  assert(truncateFrom === null || truncateFrom > floor, 'only entries above the floor are dropped')\n",
      replace: '',
    },
    {
      file: 'src/log/log-outline.ts',
      find: "    assert(truncateFrom === null || truncateFrom > commit, 'only entries above commit are dropped')\n",
      replace: '',
    },
  ],
  machine: [
    {
      file: 'src/machine/position.ts',
      find: '      compare(applied, position)\n      skipped += 1\n',
      replace: '',
    },
  ],
}

const GUARDS = ['core', 'log store', 'machine'] as const
type Guard = (typeof GUARDS)[number]

/** What becomes of the node with these guards only. */
async function meet(guards: readonly Guard[], directory: string): Promise<End> {
  const copy = new SourceCopy('guards')
  try {
    for (const guard of GUARDS) {
      if (!guards.includes(guard)) for (const patch of TRUSTING[guard]) copy.patch(patch)
    }
    const { code, output } = await runChild([
      join(copy.agent, 'test/node/guards/overwrite-child.ts'),
      directory,
    ])
    if (code !== 0) throw new Error(`the child ended with ${code}: ${output}`)
    return JSON.parse(output) as End
  } finally {
    copy.remove()
  }
}

const OLD = [1, 1, 1]

t.test('F: with all three guards a leader of another history changes nothing', async t => {
  const end = await meet(GUARDS, t.testdir())
  t.match(end, {
    stopped: /contradicts what is committed/,
    refused: null,
    terms: OLD,
    value: 'old',
  })
})

t.test('F: the core alone stops the node before anything is written', async t => {
  const end = await meet(['core'], t.testdir())
  t.match(end, {
    stopped: /contradicts what is committed/,
    refused: null,
    terms: OLD,
    value: 'old',
  })
})

t.test('F: the log store alone stops the node before anything is written', async t => {
  const end = await meet(['log store'], t.testdir())
  t.match(end, { stopped: /above the floor/, refused: null, terms: OLD, value: 'old' })
})

t.test(
  'F: the machine alone stops the node before its data change, and no start goes on from there',
  async t => {
    const end = await meet(['machine'], t.testdir())
    t.match(end, {
      stopped: /Divergence: \(2, term 2\) is of another history than the applied \(3, term 1\)/,
      refused: /entry 3 has term 1 in the machine and term 2 in the log/,
      terms: [1, 2, 2],
      value: 'old',
    })
  },
)

t.test('without any guard committed data would be overwritten', async t => {
  const end = await meet([], t.testdir())
  t.match(end, { stopped: null, terms: [1, 2, 2], value: 'new' }, 'the story is worth a guard')
})
