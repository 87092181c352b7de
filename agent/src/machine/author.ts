/** All that a machine of one's own may need: `import … from 'raft-nginx/machine'`. */
export type { HostStatus, MachineHost, PlugInAnswer, Routes, WebApp } from './plug-in/host.ts'
export type { CommandContext, MemoryMachine } from './plug-in/memory-machine.ts'
export type { CreateMachine, DurableMachine } from './plug-in/module.ts'
export type { PlugInPlace } from './plug-in/place.ts'
export { countApplied } from './position.ts'
export type {
  Applied,
  CommittedEntry,
  Idempotency,
  Result,
  SnapshotView,
  StateMachine,
} from './state-machine.ts'
export { Divergence, Gap, MachineDamaged } from './state-machine.ts'
