import { readFile, writeFile } from 'node:fs/promises'
import { Chain } from '../../src/machine/chain.ts'
import type {
  Applied,
  CommittedEntry,
  Result,
  SnapshotView,
  StateMachine,
} from '../../src/machine/state-machine.ts'
import { type Identity, type LogPosition, ORIGIN } from '../../src/raft/types.ts'

interface Image {
  readonly position: LogPosition
  readonly configuration: readonly number[]
  readonly chain: readonly number[]
  readonly commands: readonly string[]
}

/** Remembers every command in order: what a replica must agree on, and nothing else. */
export class ListMachine implements StateMachine<null, readonly string[]> {
  readonly storage = 'memory'
  commands: string[] = []
  #chain = new Chain()
  #position: LogPosition = ORIGIN
  #configuration: Uint8Array = new Uint8Array(0)

  open(_identity: Identity): Applied {
    return this.applied()
  }

  applied(): Applied {
    const [configuration, chainHash] = [this.#configuration, this.#chain.hash()]
    return { ...this.#position, configuration, chainHash }
  }

  apply(entries: readonly CommittedEntry[], configuration: Uint8Array): readonly (Result | null)[] {
    this.#configuration = configuration
    return entries.map(entry => {
      const { position, command } = entry
      if (position.index !== this.#position.index + 1) throw new Error('a gap')
      this.#position = position
      if (command !== null) this.commands.push(Buffer.from(command).toString())
      const result: Result = { kind: 'done', value: null }
      this.#chain.add(entry, result)
      return result
    })
  }

  query(): readonly string[] {
    return this.commands
  }

  durablePosition(): LogPosition {
    return ORIGIN
  }

  async checkpoint(): Promise<LogPosition> {
    return ORIGIN
  }

  snapshot(): SnapshotView {
    const image: Image = {
      position: this.#position,
      configuration: [...this.#configuration],
      chain: [...this.#chain.bytes()],
      commands: this.commands,
    }
    const text = JSON.stringify(image)
    return {
      applied: this.applied(),
      writeTo: file => writeFile(file, text),
      release: () => undefined,
    }
  }

  async inspect(file: string): Promise<Applied> {
    const { position, configuration, chain } = await read(file)
    return {
      ...position,
      configuration: Uint8Array.from(configuration),
      chainHash: new Chain(Uint8Array.from(chain)).hash(),
    }
  }

  async restore(file: string): Promise<Applied> {
    const { position, configuration, chain, commands } = await read(file)
    this.#position = position
    this.#configuration = Uint8Array.from(configuration)
    this.#chain = new Chain(Uint8Array.from(chain))
    this.commands = [...commands]
    return this.applied()
  }

  close(): void {}
}

async function read(file: string): Promise<Image> {
  return JSON.parse(await readFile(file, 'utf8')) as Image
}
