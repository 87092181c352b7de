/** A machine of some author, as the checks need it. */

import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { PlugInAnswer } from '../../../src/machine/plug-in/host.ts'
import { adapted, createPlugIn, importModule } from '../../../src/machine/plug-in/module.ts'
import type { StateMachine } from '../../../src/machine/state-machine.ts'
import { asNodeId, type Identity } from '../../../src/raft/types.ts'

/** What a module exports beside `createMachine`, for these checks. */
export interface Samples {
  /** commands of every kind, refused ones among them */
  readonly samples: readonly Uint8Array[]
  /** queries that show the state; a machine with files must have some */
  readonly queries: readonly Uint8Array[]
}

const NOTHING = new Uint8Array(0)

type Machine = StateMachine<Uint8Array, PlugInAnswer>

export interface Instance {
  readonly machine: Machine
  /** It is no machine in memory, which the adapter keeps. */
  readonly keepsFiles: boolean
  /** What the state is, as hexadecimal: the answers to the queries, and a memory machine's snapshot. */
  digest(): Promise<string>
}

/** One module, of which every instance is new. */
export class Subject {
  readonly path: string
  readonly #exports: unknown
  readonly data: Samples

  private constructor(path: string, exports: unknown, data: Samples) {
    this.path = path
    this.#exports = exports
    this.data = data
  }

  /** @throws Error in words when the module is no machine or has no samples */
  static async load(path: string): Promise<Subject> {
    const exports = await importModule(path)
    const { samples, queries = [] } = exports as Partial<Samples>
    if (!areBytes(samples) || samples.length === 0) {
      throw new Error(`${path} must export samples: commands of every kind, as Uint8Array[]`)
    }
    if (!areBytes(queries)) throw new Error(`queries of ${path} must be Uint8Array[]`)
    return new Subject(path, exports, { samples, queries })
  }

  /** A machine on `directory`, which is made; null keeps it in memory. */
  create(directory: string | null): Instance {
    if (directory !== null) mkdirSync(directory, { recursive: true })
    const plugIn = createPlugIn(this.path, this.#exports, { directory })
    const machine = adapted(plugIn, { directory }) as Machine
    const { queries } = this.data
    if ('storage' in plugIn && queries.length === 0) {
      throw new Error(`${this.path} must export queries that show its state, as Uint8Array[]`)
    }
    const digest = async (): Promise<string> => {
      const hash = createHash('sha256')
      if (!('storage' in plugIn)) hash.update(plugIn.snapshot())
      for (const query of queries.length > 0 ? queries : [NOTHING]) {
        hash.update(await answerTo(machine, query))
      }
      return hash.digest('hex')
    }
    return { machine, digest, keepsFiles: 'storage' in plugIn }
  }
}

export function identityOf(node: string): Identity {
  return {
    clusterId: 'conformance',
    nodeId: asNodeId(node),
    incarnation: `of ${node}`.replace(' ', '-'),
  }
}

export function within(directory: string, name: string): string {
  return join(directory, name)
}

/** A machine may refuse a query that means nothing to it. */
async function answerTo(machine: Machine, query: Uint8Array): Promise<Uint8Array> {
  try {
    return (await machine.query(query)).value
  } catch (error) {
    return Buffer.from(`thrown: ${error}`)
  }
}

function areBytes(value: unknown): value is readonly Uint8Array[] {
  return Array.isArray(value) && value.every(each => each instanceof Uint8Array)
}
