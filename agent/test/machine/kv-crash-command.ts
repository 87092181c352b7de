import { set, text } from './kv-subject.ts'

/** How many keys beside the counter; entry i writes key i modulo this. */
export const CRASH_KEYS = 50

/** What entry `index` of the crash test does: the counter says how far, the other keys who was last. */
export function crashCommand(index: number): Uint8Array {
  const value = text(`${index}`)
  return set([
    { key: text('counter'), value },
    { key: text(`k${index % CRASH_KEYS}`), value: Buffer.concat([value, Buffer.alloc(500, ' ')]) },
  ])
}
