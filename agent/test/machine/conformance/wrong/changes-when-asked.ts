/** Wrong: a query changes the state. */

import type { MemoryMachine } from '../../../../src/machine/plug-in/memory-machine.ts'
import { appended, listMachine } from './list-machine.ts'

export { samples } from './list-machine.ts'

export function createMachine(): MemoryMachine {
  const machine = listMachine(appended)
  const query = () => {
    machine.restore(Buffer.from('[]'))
    return new Uint8Array(0)
  }
  return { ...machine, query }
}
