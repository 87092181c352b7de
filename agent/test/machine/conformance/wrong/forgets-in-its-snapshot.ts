/** Wrong: a part of the state is in no snapshot. */

import type { MemoryMachine } from '../../../../src/machine/plug-in/memory-machine.ts'
import { appended, listMachine } from './list-machine.ts'

export { samples } from './list-machine.ts'

export function createMachine(): MemoryMachine {
  let calls = 0
  return listMachine((words, word, context) => {
    calls += 1
    return [...appended(words, word, context).slice(0, -1), `${word} ${calls}`]
  })
}
