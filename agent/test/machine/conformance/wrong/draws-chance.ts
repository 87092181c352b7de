/** Wrong: where a word goes is drawn. */

import { randomInt } from 'node:crypto'
import type { MemoryMachine } from '../../../../src/machine/plug-in/memory-machine.ts'
import { appended, listMachine } from './list-machine.ts'

export { samples } from './list-machine.ts'

export function createMachine(): MemoryMachine {
  return listMachine((words, word, context) => {
    const list = appended(words, word, context)
    return randomInt(2) === 0 ? list : list.reverse()
  })
}
