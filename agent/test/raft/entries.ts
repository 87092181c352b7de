import { asLogIndex, asTerm, type Entry } from '../../src/raft/types.ts'

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

/** Entries right behind `after`, one a term; in the stories only the position tells them apart. */
export function entriesOf(terms: readonly number[], after = 0): Entry[] {
  return terms.map((term, at) => ({
    index: asLogIndex(after + at + 1),
    term: asTerm(term),
    kind: 'command',
    payload: bytes(''),
  }))
}
