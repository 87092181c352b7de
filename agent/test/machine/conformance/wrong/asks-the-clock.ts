/** Wrong: it writes down when it ran, by its own clock. */

import type { MemoryMachine } from '../../../../src/machine/plug-in/memory-machine.ts'
import { listMachine } from './list-machine.ts'

export { samples } from './list-machine.ts'

export function createMachine(): MemoryMachine {
  const day = () => Math.floor(Date.now() / 86_400_000)
  return listMachine(({ list }, text) => [...list, `${text} on day ${day()}`])
}
