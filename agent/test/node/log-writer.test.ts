import fc from 'fast-check'
import t from 'tap'
import { mergePersists } from '../../src/node/log-writer.ts'
import type { Persist } from '../../src/raft/effect.ts'
import { asLogIndex, asTerm, type Entry, type LogIndex } from '../../src/raft/types.ts'

const NOTHING = new Uint8Array(0)
const entry = (index: number, term: number): Entry => ({
  index: asLogIndex(index),
  term: asTerm(term),
  kind: 'command',
  payload: NOTHING,
})

function persist(term: number, truncateFrom: number | null, entries: readonly Entry[]): Persist {
  const last = entries.at(-1) ?? { index: asLogIndex(0), term: asTerm(0) }
  return {
    kind: 'persist',
    sync: true,
    hardState: { term: asTerm(term), vote: null, commit: asLogIndex(0) },
    truncateFrom: truncateFrom === null ? null : asLogIndex(truncateFrom),
    entries,
    receipt: { term: asTerm(term), vote: null, last },
    whenDurable: [],
  }
}

interface Write {
  readonly truncateFrom: LogIndex | null
  readonly entries: readonly Entry[]
}

/** What a log that holds `disk` holds after the write. */
function after(disk: readonly Entry[], { truncateFrom, entries }: Write): readonly Entry[] {
  const kept = truncateFrom === null ? disk : disk.filter(({ index }) => index < truncateFrom)
  return [...kept, ...entries]
}

t.test('several writes merged leave what they leave one after the other', async () => {
  const step = fc.record({ back: fc.nat(6), fresh: fc.integer({ min: 1, max: 4 }) })
  fc.assert(
    fc.property(fc.nat(5), fc.array(step, { minLength: 1, maxLength: 6 }), (length, steps) => {
      const disk = Array.from({ length }, (_, at) => entry(at + 1, 1))
      let log: readonly Entry[] = disk
      const persists = steps.map(({ back, fresh }, at) => {
        const term = at + 2
        const first = Math.max(1, log.length + 1 - back)
        const entries = Array.from({ length: fresh }, (_, n) => entry(first + n, term))
        const each = persist(term, first <= log.length ? first : null, entries)
        log = after(log, each)
        return each
      })
      const merged = mergePersists(persists, asLogIndex(0))
      const found = after(disk, merged)
      const contiguous = found.every(({ index }, at) => index === at + 1)
      return contiguous && JSON.stringify(found) === JSON.stringify(log)
    }),
  )
})

t.test('a merged write carries the newest hard state', async t => {
  const merged = mergePersists([persist(2, null, []), persist(5, null, [])], asLogIndex(3))
  t.equal(merged.hardState.term, 5)
  t.equal(merged.floor, 3)
})
