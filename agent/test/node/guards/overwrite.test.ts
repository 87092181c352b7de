import { join } from 'node:path'
import t from 'tap'
import { runChild } from '../../child.ts'
import { type Patch, SourceCopy } from '../../source-copy.ts'
import type { End } from './story.ts'

// Each test compiles and runs the sources anew.
t.setTimeout(120_000)

const GUARDS = ['core', 'log store', 'machine'] as const
type Guard = (typeof GUARDS)[number]
type Trusting = Readonly<Record<Guard, readonly Patch[]>>

/**
 * Design F: three guards stand between what is committed and a leader that would overwrite it. None of
 * them ever acts while the others do; so that each is known to work, it is met here without the others.
 * Each list makes one guard trust whatever it is given.
 */
const ENTRIES: Trusting = {
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

/** The same where a snapshot of another history is to take the place of what was applied. */
const SNAPSHOT: Trusting = {
  core: [
    {
      file: 'src/raft/snapshot.ts',
      find: `  assert(
    position.index > state.commit ||
      position.index < log.base.index ||
      log.termAt(position.index) === position.term,
    'no leader contradicts what is committed',
  )
`,
      replace: '',
    },
    {
      file: 'src/raft/snapshot.ts',
      find: '  if (position.index <= state.commit && !wanted) {',
      replace: '  if (position.index < log.base.index) {',
    },
    {
      file: 'src/raft/snapshot.ts',
      find: "  assert(position.index > state.applied, 'a snapshot only moves forward')\n",
      replace: '',
    },
    {
      file: 'src/raft/snapshot.ts',
      find: "  assert(held || position.index > state.commit, 'a log loses nothing that is committed')\n",
      replace: '',
    },
  ],
  'log store': [
    {
      file: 'src/log/log-outline.ts',
      find: "  assert(isHeld || index > hardState.commit, 'an install drops nothing that is committed')\n",
      replace: '',
    },
  ],
  machine: [
    {
      file: 'src/machine/state-machine.ts',
      find: '  const same = snapshot.index === applied.index && snapshot.term === applied.term\n',
      replace: '  const same = snapshot.index >= 0\n',
    },
  ],
}

const STORIES = {
  'overwrite-child.ts': ENTRIES,
  'install-child.ts': SNAPSHOT,
}
type Story = keyof typeof STORIES

/** What becomes of the node with these guards only. */
async function meet(
  guards: readonly Guard[],
  directory: string,
  story: Story = 'overwrite-child.ts',
): Promise<End> {
  const copy = new SourceCopy('guards')
  try {
    for (const guard of GUARDS) {
      if (!guards.includes(guard)) for (const patch of STORIES[story][guard]) copy.patch(patch)
    }
    const { code, output } = await runChild([
      join(copy.agent, 'test/node/guards', story),
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

t.test(
  'a snapshot of another history: each guard alone stops the node, and the data stay',
  async t => {
    const stays = { terms: OLD, value: 'old' }
    const told = {
      core: { stopped: /no leader contradicts what is committed/, refused: null },
      'log store': { stopped: /an install drops nothing that is committed/, refused: null },
      // The log says by now that it is to be installed: no start does it, or goes on without it.
      machine: {
        stopped: /a snapshot at \(3, term 2\) would take back the applied \(3, term 1\)/,
        refused: /would take back/,
      },
    }
    for (const guard of GUARDS) {
      const end = await meet([guard], t.testdir(), 'install-child.ts')
      t.match(end, { ...told[guard], ...stays }, guard)
    }
    const end = await meet([], t.testdir(), 'install-child.ts')
    t.match(end, { stopped: null, terms: [], value: 'new' }, 'without any the data are overwritten')
  },
)
