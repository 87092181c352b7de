import t from 'tap'
import type { LogState } from '../../src/log/log-store.ts'
import { decideRecovery, type Found, refusalOf } from '../../src/node/recovery-table.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type LogPosition,
  ORIGIN,
  type SnapshotHeader,
} from '../../src/raft/types.ts'

const position = (index: number, term: number): LogPosition => ({
  index: asLogIndex(index),
  term: asTerm(term),
})

const snapshot = (index: number, term: number): SnapshotHeader => ({
  position: position(index, term),
  configuration: new Uint8Array(0),
  id: `${index}-${term}`,
  bytes: 1,
  sha256: '',
})

/** Entries 101–110 of term 3, 111–120 of term 5, behind a base at (100, term 2); 105 are known as committed. */
const LOG: LogState = {
  base: position(100, 2),
  last: position(120, 5),
  borders: [
    { first: asLogIndex(101), term: asTerm(3) },
    { first: asLogIndex(111), term: asTerm(5) },
  ],
  hardState: { term: asTerm(6), vote: asNodeId('node0'), commit: asLogIndex(105) },
  marker: null,
}

const WHOLE: LogState = {
  ...LOG,
  base: ORIGIN,
  borders: [{ first: asLogIndex(1), term: asTerm(2) }, ...LOG.borders],
}

function found(parts: Partial<Omit<Found, 'log'>> & { log?: Partial<LogState> }): Found {
  const { log, ...rest } = parts
  return {
    applied: position(107, 3),
    stored: null,
    markedFile: false,
    ...rest,
    log: { ...LOG, ...log },
  }
}

const hardState = (term: number, commit: number) => ({
  ...LOG.hardState,
  term: asTerm(term),
  commit: asLogIndex(commit),
})

/** One row of the table, and what stands next to it: story, what was found, what is done. */
const ROWS: readonly (readonly [string, Found, object])[] = [
  [
    'all fits: commit is lifted to what the machine holds',
    found({}),
    { kind: 'start', commit: 107 },
  ],
  [
    'commit is ahead of the machine, which crashed in between',
    found({ applied: position(101, 3) }),
    { kind: 'start', commit: 105 },
  ],
  [
    'the machine is exactly at the base',
    found({ applied: position(100, 2) }),
    { kind: 'start', commit: 105 },
  ],
  [
    'the machine is exactly at the end of the log',
    found({ applied: position(120, 5) }),
    { kind: 'start', commit: 120 },
  ],
  [
    'a new node',
    found({
      applied: ORIGIN,
      log: { base: ORIGIN, last: ORIGIN, borders: [], hardState: hardState(0, 0) },
    }),
    { kind: 'start', commit: 0 },
  ],
  [
    'a machine that lost everything, with the whole log',
    found({ applied: ORIGIN, log: WHOLE }),
    { kind: 'start', commit: 105 },
  ],
  [
    'marked, and the machine holds the snapshot: only the reset is missing',
    found({ applied: position(150, 6), markedFile: true, log: { marker: snapshot(150, 6) } }),
    { kind: 'finish-install', next: 'reset', header: { id: '150-6' } },
  ],
  [
    'marked, and the machine holds it; the file was renamed away',
    found({ applied: position(150, 6), log: { marker: snapshot(150, 6) } }),
    { kind: 'finish-install', next: 'reset' },
  ],
  [
    'marked, the machine is the old one, the file is there',
    found({ markedFile: true, log: { marker: snapshot(150, 6) } }),
    { kind: 'finish-install', next: 'restore' },
  ],
  [
    'marked, the machine is at that index in another history',
    found({ applied: position(150, 5), markedFile: true, log: { marker: snapshot(150, 6) } }),
    { kind: 'finish-install', next: 'restore' },
  ],
  [
    'marked, the old machine, and no file',
    found({ log: { marker: snapshot(150, 6) } }),
    { kind: 'refuse', why: /snapshot at 150 was cut short/ },
  ],
  [
    'the hard state is behind the log',
    found({ log: { hardState: hardState(4, 105) } }),
    { kind: 'refuse', why: /saved term 4 is behind the log \(5\)/ },
  ],
  [
    'the hard state is behind the machine',
    found({ applied: position(107, 7) }),
    { kind: 'refuse', why: /or the machine \(7\)/ },
  ],
  [
    'commit is beyond the log',
    found({ log: { hardState: hardState(6, 121) } }),
    { kind: 'refuse', why: /up to 121 were committed, but the log ends at 120/ },
  ],
  [
    'the machine is ahead of the log',
    found({ applied: position(121, 5), stored: snapshot(110, 3) }),
    { kind: 'refuse', why: /machine holds entry 121, but the log ends at 120/ },
  ],
  [
    'the machine is behind the base, a snapshot is in the log',
    found({ applied: position(99, 2), stored: snapshot(110, 3) }),
    { kind: 'restore', header: { id: '110-3' } },
  ],
  [
    'the same, and the snapshot is at the base',
    found({ applied: ORIGIN, stored: snapshot(100, 2) }),
    { kind: 'restore' },
  ],
  [
    'the snapshot is beyond what is known as committed: it proves that itself',
    found({ applied: ORIGIN, stored: snapshot(120, 5) }),
    { kind: 'restore' },
  ],
  ['behind the base, no snapshot', found({ applied: position(99, 2) }), { kind: 'fetch' }],
  [
    'behind the base, the snapshot is too',
    found({ applied: ORIGIN, stored: snapshot(99, 2) }),
    { kind: 'fetch' },
  ],
  [
    'behind the base, the snapshot is beyond the log',
    found({ applied: ORIGIN, stored: snapshot(121, 5) }),
    { kind: 'fetch' },
  ],
  [
    'behind the base, the snapshot is of another history',
    found({ applied: ORIGIN, stored: snapshot(110, 5) }),
    { kind: 'fetch' },
  ],
  [
    'the machine holds another history',
    found({ applied: position(107, 2) }),
    { kind: 'refuse', why: /entry 107 has term 2 in the machine and term 3 in the log/ },
  ],
  [
    'the machine holds another history at the base',
    found({ applied: position(100, 1) }),
    { kind: 'refuse', why: /entry 100 has term 1 in the machine and term 2 in the log/ },
  ],
]

for (const [story, each, decision] of ROWS) {
  t.test(`${story}: ${JSON.stringify(decision)}`, async t => {
    t.match(decideRecovery(each), decision)
  })
}

t.test('a refusal says what to do', async t => {
  t.match(refusalOf('the log ends at 7'), {
    name: 'LogRefusal',
    reason: 'lost',
    message: /^the log ends at 7\. The files are kept as they are: .* wipe it/,
  })
})
