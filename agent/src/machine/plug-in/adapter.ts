import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfThere, replaceDurably, writeSynced } from '../../os/durable-file.ts'
import { type FileLock, lockOwner } from '../../os/file-lock.ts'
import { type Identity, type LogPosition, ORIGIN } from '../../raft/types.ts'
import { Chain } from '../chain.ts'
import { countApplied } from '../position.ts'
import {
  type Applied,
  type Beginning,
  type CommittedEntry,
  type Former,
  MachineDamaged,
  type Result,
  type SnapshotView,
  type StateMachine,
} from '../state-machine.ts'
import type { PlugInAnswer } from './host.ts'
import { decodeImage, encodeImage, type Image } from './image.ts'
import type { MemoryMachine } from './memory-machine.ts'
import { MemorySessions } from './memory-sessions.ts'
import type { PlugInPlace } from './place.ts'
import { judge } from './rejection.ts'

const DONE: Result = { kind: 'done', value: null }
/** What an entry counts for in a checkpoint's due date, beside its command. */
const ENTRY_BYTES = 64
/** A file up to this size is written whenever a checkpoint asks for it, so that the log need not keep what it holds. */
const SMALL_BYTES = 256 * 1024

/** What exists between `open` and `close`. */
interface Open {
  readonly identity: Identity
  /** null in memory */
  readonly lock: FileLock | null
  state: State
}

/** What an image holds beside the author's state; replaced whole by a restore. */
interface State {
  position: LogPosition
  configuration: Uint8Array
  readonly chain: Chain
  /** the log's time, Unix ms; never falls */
  nowMs: number
  readonly sessions: MemorySessions
}

/**
 * Makes a StateMachine of an author's machine in memory: keeps its position, chain hash, sessions and
 * configuration beside its state, and all of them in one file, which a checkpoint replaces whole. After a
 * crash the state is that of the file, and the log gives the entries behind it again.
 */
export class MemoryMachineAdapter implements StateMachine<Uint8Array, PlugInAnswer> {
  readonly storage: 'durable' | 'memory'
  readonly #author: MemoryMachine
  readonly #file: string | null
  #open: Open | null = null
  /** An author's error may have left half a change: nothing is answered after it. */
  #failure: unknown = null
  #durable: LogPosition = ORIGIN
  /** size of the last file, and of the log since it, bytes */
  #fileBytes = 0
  #bytesSince = 0
  #checkpoint: Promise<LogPosition> | null = null

  constructor(author: MemoryMachine, { directory }: PlugInPlace) {
    this.storage = directory === null ? 'memory' : 'durable'
    this.#author = author
    this.#file = directory === null ? null : join(directory, `${author.name}.image`)
  }

  /** @throws also when another machine owns the file, or a byte of it has changed */
  async open(identity: Identity): Promise<Applied> {
    if (this.#open !== null) throw new Error('the machine is open already')
    const lock = this.#file === null ? null : lockOwner(this.#file)
    try {
      const image = this.#file === null ? null : await this.#read(this.#file)
      if (image !== null) checkIdentity(image, identity)
      if (image !== null) this.#author.restore(image.state)
      const state = stateOf(image)
      this.#open = { identity, lock, state }
      this.#durable = state.position
      return appliedOf(state)
    } catch (error) {
      lock?.release()
      throw error
    }
  }

  apply(entries: readonly CommittedEntry[], configuration: Uint8Array): readonly (Result | null)[] {
    const { state } = this.#opened()
    const skipped = countApplied(state.position, entries)
    if (skipped === entries.length) return entries.map(() => null)
    state.configuration = configuration
    try {
      return entries.map((entry, at) => (at < skipped ? null : this.#applyOne(state, entry)))
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  query(query: Uint8Array): PlugInAnswer {
    const { position } = this.#opened().state
    return { applied: position, value: this.#author.query(query) }
  }

  applied(): Applied {
    return appliedOf(this.#opened().state)
  }

  durablePosition(): LogPosition {
    return this.#durable
  }

  /**
   * Replaces the file, unless it is large, and larger than what the log has gained since: a machine is not
   * written again and again for a few commands. A call during another joins it.
   */
  checkpoint(): Promise<LogPosition> {
    const open = this.#opened()
    const worthIt = this.#fileBytes <= SMALL_BYTES || this.#bytesSince >= this.#fileBytes
    if (!worthIt) return Promise.resolve(this.durablePosition())
    return this.#store(open)
  }

  snapshot(): SnapshotView {
    const open = this.#opened()
    const bytes = this.#encode(open)
    return {
      applied: appliedOf(open.state),
      writeTo: file => writeSynced(file, bytes),
      release: () => undefined,
    }
  }

  async inspect(file: string): Promise<Applied> {
    const { identity } = this.#opened()
    const image = await this.#read(file)
    if (image === null) throw new Error(`there is no ${file}`)
    if (image.identity.clusterId !== identity.clusterId) {
      throw new Error(`${file}: belongs to clusterId ${image.identity.clusterId}`)
    }
    await replaceDurably(file, encodeImage({ ...image, identity }))
    return appliedOf(stateOf(image))
  }

  async adopt(file: string, begin: (former: Former) => Beginning): Promise<Applied> {
    const { identity } = this.#opened()
    const image = await this.#read(file)
    if (image === null) throw new Error(`there is no ${file}`)
    const { clusterId } = image.identity
    const { position, configuration } = begin({ clusterId, applied: image.position })
    const adopted = { ...image, identity, position, configuration }
    await replaceDurably(file, encodeImage(adopted))
    return appliedOf(stateOf(adopted))
  }

  async restore(file: string): Promise<Applied> {
    const open = this.#opened()
    await this.#checkpoint
    const image = await this.#read(file)
    if (image === null) throw new Error(`there is no ${file}`)
    checkIdentity(image, open.identity)
    if (this.#file !== null) await replaceDurably(this.#file, await readFile(file))
    this.#author.restore(image.state)
    open.state = stateOf(image)
    this.#durable = image.position
    this.#bytesSince = 0
    return appliedOf(open.state)
  }

  /** Stores what was applied, so that the next start replays nothing. */
  async close(): Promise<void> {
    const open = this.#open
    if (open === null) return
    await Promise.allSettled([this.#checkpoint])
    try {
      if (this.#failure === null) await this.#store(open)
    } finally {
      this.#open = null
      open.lock?.release()
    }
  }

  #applyOne(state: State, entry: CommittedEntry): Result {
    const { position, command, idempotency } = entry
    // The log's time never falls, whatever the leaders' clocks did.
    const timeMs = Math.max(state.nowMs, entry.timeMs)
    const execute = (): Result => {
      if (command === null) return DONE
      return judge({ index: position.index, timeMs }, at => this.#author.apply(command, at))
    }
    const result =
      idempotency === null ? execute() : state.sessions.once(idempotency, timeMs, execute)
    state.chain.add(entry, result)
    state.position = position
    state.nowMs = timeMs
    this.#bytesSince += ENTRY_BYTES + (command?.length ?? 0)
    return result
  }

  #store(open: Open): Promise<LogPosition> {
    this.#checkpoint ??= this.#writeFile(open).finally(() => {
      this.#checkpoint = null
    })
    return this.#checkpoint
  }

  async #writeFile(open: Open): Promise<LogPosition> {
    const { position } = open.state
    if (this.#file === null || position === this.#durable) return this.#durable
    const bytes = this.#encode(open)
    this.#bytesSince = 0
    await replaceDurably(this.#file, bytes)
    this.#fileBytes = bytes.length
    this.#durable = position
    return position
  }

  #encode({ identity, state }: Open): Uint8Array {
    const { name: machine } = this.#author
    const chain = state.chain.bytes()
    return encodeImage({ ...state, machine, identity, chain, state: this.#author.snapshot() })
  }

  async #read(file: string): Promise<Image | null> {
    const bytes = await readIfThere(file)
    if (bytes === null) return null
    const image = decoded(bytes, file)
    if (image.machine === this.#author.name) return image
    throw new Error(`${file}: belongs to the machine ${image.machine}, not ${this.#author.name}`)
  }

  #opened(): Open {
    if (this.#failure !== null) throw this.#failure
    if (this.#open === null) throw new Error('the machine is not open')
    return this.#open
  }
}

function stateOf(image: Image | null): State {
  if (image === null) {
    const [configuration, chain] = [new Uint8Array(0), new Chain()]
    return { position: ORIGIN, configuration, chain, nowMs: 0, sessions: new MemorySessions() }
  }
  const { position, configuration, nowMs, sessions } = image
  return { position, configuration, chain: new Chain(image.chain), nowMs, sessions }
}

function appliedOf({ position, configuration, chain }: State): Applied {
  return { ...position, configuration, chainHash: chain.hash() }
}

/** @throws MachineDamaged */
function decoded(bytes: Uint8Array, file: string): Image {
  try {
    return decodeImage(bytes)
  } catch (cause) {
    throw new MachineDamaged(file, cause instanceof Error ? cause.message : String(cause), {
      cause,
    })
  }
}

function checkIdentity(image: Image, identity: Identity): void {
  for (const field of ['clusterId', 'nodeId', 'incarnation'] as const) {
    if (image.identity[field] !== identity[field]) {
      throw new Error(`belongs to ${field} ${image.identity[field]}, not ${identity[field]}`)
    }
  }
}
