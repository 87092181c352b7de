import { type Configuration, encodeConfiguration } from '../../src/raft/configuration.ts'
import type { NodeId, SnapshotHeader } from '../../src/raft/types.ts'
import { SimulatedMachine } from './machine.ts'
import { must } from './violation.ts'

/** All snapshots that were ever taken: what a machine was, apart from what becomes of it. */
export class Snapshots {
  readonly #files = new Map<string, SimulatedMachine>()

  take(by: NodeId, machine: SimulatedMachine, configuration: Configuration): SnapshotHeader {
    const id = `${by}-${this.#files.size}`
    const file = new SimulatedMachine()
    file.restore(machine)
    this.#files.set(id, file)
    return {
      position: machine.position,
      configuration: encodeConfiguration(configuration),
      id,
      bytes: 0,
      sha256: '',
    }
  }

  file({ id }: SnapshotHeader): SimulatedMachine {
    const file = this.#files.get(id)
    must(file !== undefined, 'Snapshots: what is installed was taken')
    return file
  }
}
