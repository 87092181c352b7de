import { encodeConfiguration } from '../../src/raft/configuration.ts'
import type { SnapshotHeader } from '../../src/raft/types.ts'
import { SimulatedMachine } from './machine.ts'
import type { SimulatedNode } from './node.ts'
import { must } from './violation.ts'

/** All snapshots that were ever taken: what a machine was, apart from what becomes of it. */
export class Snapshots {
  readonly #files = new Map<string, SimulatedMachine>()

  /** @param pieces of which its file is made */
  take(node: SimulatedNode, pieces: number): SnapshotHeader {
    const { machine, machineConfiguration } = node
    const id = `${node.id}-${this.#files.size}`
    const file = new SimulatedMachine()
    file.restore(machine)
    this.#files.set(id, file)
    return {
      position: machine.position,
      configuration: encodeConfiguration(machineConfiguration),
      id,
      bytes: pieces,
      sha256: '',
    }
  }

  file({ id }: SnapshotHeader): SimulatedMachine {
    const file = this.#files.get(id)
    must(file !== undefined, 'Snapshots: what is installed was taken')
    return file
  }
}
