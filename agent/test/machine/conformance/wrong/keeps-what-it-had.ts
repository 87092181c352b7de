/** Wrong: a restore adds to the state in place of replacing it. */

import type { MemoryMachine } from '../../../../src/machine/plug-in/memory-machine.ts'
import { appended, listMachine } from './list-machine.ts'

export { samples } from './list-machine.ts'

export function createMachine(): MemoryMachine {
  let kept: string[] = []
  return listMachine(
    (words, word, context) => {
      kept = [...kept, word]
      words.list = kept
      return appended({ list: kept.slice(0, -1) }, word, context)
    },
    {
      query: () => Buffer.from(kept.join()),
      snapshot: () => Buffer.from(JSON.stringify(kept)),
      restore(state) {
        kept = [...kept, ...(JSON.parse(Buffer.from(state).toString()) as string[])]
      },
    },
  )
}
