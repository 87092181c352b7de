/** Wrong: a refused command has changed the state. */

import type { MemoryMachine } from '../../../../src/machine/plug-in/memory-machine.ts'
import { appended, listMachine } from './list-machine.ts'

export { samples } from './list-machine.ts'

export function createMachine(): MemoryMachine {
  return listMachine((words, word, context) => {
    words.list.push(word)
    return appended({ list: words.list.slice(0, -1) }, word, context)
  })
}
