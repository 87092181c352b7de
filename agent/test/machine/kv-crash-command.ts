import { set, setText, text } from './kv-subject.ts'

/** How many keys beside the counter; entry i writes key i modulo this. */
export const CRASH_KEYS = 50

/** Of plain entries; entry i writes key i modulo this. */
export const PLAIN_KEYS = 700

/** What entry `index` of the crash test does: the counter says how far, the other keys who was last. */
export function crashCommand(index: number): Uint8Array {
  const value = text(`${index}`)
  return set([
    { key: text('counter'), value },
    { key: text(`k${index % CRASH_KEYS}`), value: Buffer.concat([value, Buffer.alloc(500, ' ')]) },
  ])
}

/** The same in one key that waits in memory, of several hundred in turn. */
export function plainCommand(index: number): Uint8Array {
  return setText(`k${index % PLAIN_KEYS}`, `${index}`.padEnd(100))
}
