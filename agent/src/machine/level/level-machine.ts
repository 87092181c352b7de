import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DecodeError } from '../../lib/bytes.ts'
import { type FileLock, lockOwner } from '../../os/file-lock.ts'
import { type Identity, type LogPosition, ORIGIN } from '../../raft/types.ts'
import { Chain } from '../chain.ts'
import type { PlugInAnswer } from '../plug-in/host.ts'
import { MemorySessions } from '../plug-in/memory-sessions.ts'
import type { PlugInPlace } from '../plug-in/place.ts'
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
import { type Account, appliedOf, NO_ENTRIES } from './account.ts'
import {
  decodeCommand,
  decodeQuery,
  encodeCommand,
  encodeKeys,
  encodeQuery,
  encodeRow,
  type LevelCommand,
} from './command.ts'
import { Generations } from './generations.ts'
import { readFile, writeFile } from './level-file.ts'
import { levelRoutes } from './level-routes.ts'
import {
  Changes,
  damageOr,
  type KnownEntry,
  knownOf,
  LevelStore,
  openLevel,
} from './level-store.ts'

const NAME = 'level-kv'
const DONE: Result = { kind: 'done', value: null }
const UNDECODABLE: Result = { kind: 'rejected', code: 'UNDECODABLE' }

/** One LevelDB, and what is known of it. */
interface State {
  readonly store: LevelStore
  /** as of what queries see */
  account: Account
  readonly chain: Chain
  readonly sessions: MemorySessions
  /** what the batch under way changes */
  changes: Changes
}

interface Open {
  readonly identity: Identity
  readonly lock: FileLock | null
  readonly directory: string
  readonly generations: Generations
  state: State
}

/**
 * Keys and values in LevelDB. Each batch of entries is one write batch with the position, synced: LevelDB
 * leaves damaged records of its log out and takes later ones, so a batch that is not durable before the next
 * could leave a hole. Every entry has a checksum, and the account a tally of all: whatever is lost or changed
 * shows when the machine is opened, which reads everything once.
 */
export class LevelMachine implements StateMachine<Uint8Array, PlugInAnswer> {
  readonly name = NAME
  readonly routes = levelRoutes
  readonly storage: 'durable' | 'memory'
  readonly #place: PlugInPlace
  #open: Open | null = null
  /** LevelDB refuses everything after an error of the disk. */
  #failure: unknown = null
  #durable: LogPosition = ORIGIN
  /** of the entry that is applied */
  #index = 0
  /** ends with the last batch, restore or close that was begun: one at a time */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(place: PlugInPlace) {
    this.#place = place
    this.storage = place.directory === null ? 'memory' : 'durable'
  }

  async open(identity: Identity): Promise<Applied> {
    if (this.#open !== null) throw new Error('the machine is open already')
    const parent = this.#place.directory
    const directory =
      parent === null ? await mkdtemp(join(tmpdir(), `${NAME}-`)) : join(parent, NAME)
    const lock = parent === null ? null : lockOwner(directory)
    try {
      const generations = new Generations(directory)
      const current = await generations.current()
      const state = await (current === null
        ? this.#create(generations, identity)
        : this.#openAt(current, identity))
      this.#open = { identity, lock, directory, generations, state }
      if (parent !== null) this.#durable = state.account.position
      return appliedOf(state.account)
    } catch (error) {
      lock?.release()
      throw error
    }
  }

  apply(
    entries: readonly CommittedEntry[],
    configuration: Uint8Array,
  ): Promise<readonly (Result | null)[]> {
    return this.#inTurn(() => this.#apply(entries, configuration))
  }

  async #apply(
    entries: readonly CommittedEntry[],
    configuration: Uint8Array,
  ): Promise<readonly (Result | null)[]> {
    const { state } = this.#opened()
    const skipped = countApplied(state.account.position, entries)
    const last = entries.at(-1)
    if (last === undefined || skipped === entries.length) return entries.map(() => null)
    try {
      state.changes = new Changes(state.store, state.account.tally)
      let { nowMs } = state.account
      const results = entries.map((entry, at) => {
        if (at < skipped) return null
        // The log's time never falls, whatever the leaders' clocks did.
        nowMs = Math.max(nowMs, entry.timeMs)
        return this.#applyOne(state, entry, nowMs)
      })
      const { identity } = state.account
      const chain = Uint8Array.from(state.chain.bytes())
      const { tally } = state.changes
      const account = { identity, position: last.position, configuration, chain, nowMs, tally }
      await state.store.write(state.changes.values, account)
      state.account = account
      return results
    } catch (error) {
      this.#failure = damageOr(state.store.directory, error)
      throw this.#failure
    }
  }

  async query(query: Uint8Array): Promise<PlugInAnswer> {
    const { store } = this.#opened().state
    const decoded = decodeQuery(query)
    const snapshot = store.snapshot()
    try {
      const account = store.account(snapshot)
      if (account === null)
        throw new MachineDamaged(dirname(store.directory), 'its position is missing')
      const applied = account.position
      if (decoded.kind === 'get') {
        return { applied, value: encodeRow(store.row(decoded.key, snapshot)) }
      }
      return { applied, value: encodeKeys(await store.list(decoded, snapshot)) }
    } finally {
      await snapshot.close()
    }
  }

  applied(): Applied {
    return appliedOf(this.#opened().state.account)
  }

  durablePosition(): LogPosition {
    return this.#durable
  }

  /** Every batch is durable when it is applied. */
  async checkpoint(): Promise<LogPosition> {
    const { position } = this.#opened().state.account
    if (this.storage === 'durable') this.#durable = position
    return this.#durable
  }

  snapshot(): SnapshotView {
    const { store, account } = this.#opened().state
    const snapshot = store.snapshot()
    return {
      applied: appliedOf(account),
      writeTo: file => writeFile(file, store.entries(account, snapshot), account),
      release: () => void snapshot.close().catch(() => undefined),
    }
  }

  async inspect(file: string): Promise<Applied> {
    const { identity } = this.#opened()
    const account = await readFile(file, noMore, found => {
      if (found.identity.clusterId !== identity.clusterId) {
        throw new Error(`${file}: belongs to clusterId ${found.identity.clusterId}`)
      }
      return { ...found, identity }
    })
    return appliedOf(account)
  }

  async adopt(file: string, begin: (former: Former) => Beginning): Promise<Applied> {
    const { identity } = this.#opened()
    const account = await readFile(file, noMore, found => {
      const { clusterId } = found.identity
      return { ...found, identity, ...begin({ clusterId, applied: found.position }) }
    })
    return appliedOf(account)
  }

  /** Builds the next LevelDB beside this one, which answers until that is complete. */
  restore(file: string): Promise<Applied> {
    return this.#inTurn(() => this.#restore(file))
  }

  async #restore(file: string): Promise<Applied> {
    const open = this.#opened()
    try {
      const path = await open.generations.next()
      const store = await this.#storeAt(path, true)
      const account = await readFile(file, entries => store.write(entries, null))
      checkIdentity(account.identity, open.identity)
      await store.write([], account)
      await store.close()
      const state = await this.#openAt(path, open.identity)
      await open.generations.choose(path)
      const before = open.state
      open.state = state
      if (this.storage === 'durable') this.#durable = account.position
      await before.store.close()
      await rm(before.store.directory, { recursive: true, force: true })
      return appliedOf(account)
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#close())
  }

  async #close(): Promise<void> {
    const open = this.#open
    if (open === null) return
    this.#open = null
    this.#durable = ORIGIN
    await open.state.store.close()
    open.lock?.release()
    if (open.lock === null) await rm(open.directory, { recursive: true, force: true })
  }

  #applyOne(state: State, entry: CommittedEntry, nowMs: number): Result {
    const { position, command, idempotency } = entry
    this.#index = position.index
    const execute = (): Result => {
      if (command === null) return DONE
      const decoded = tryDecode(command)
      if (decoded === null) return UNDECODABLE
      change(state.changes, decoded, position.index)
      return DONE
    }
    const result =
      idempotency === null ? execute() : state.sessions.once(idempotency, nowMs, execute)
    state.chain.add(entry, result)
    return result
  }

  async #create(generations: Generations, identity: Identity): Promise<State> {
    const path = await generations.next()
    const store = await this.#storeAt(path, true)
    const account = {
      ...{ identity, position: ORIGIN, configuration: new Uint8Array(0) },
      ...{ chain: new Chain().bytes(), nowMs: 0, tally: NO_ENTRIES },
    }
    await store.write([], account)
    await generations.choose(path)
    return this.#stateOf(store, account, [])
  }

  /** @throws MachineDamaged when a single entry is not as it was written */
  async #openAt(path: string, identity: Identity): Promise<State> {
    const store = await this.#storeAt(path, false)
    try {
      const account = store.account()
      if (account === null) throw new MachineDamaged(dirname(path), 'its position is missing')
      checkIdentity(account.identity, identity)
      const known: KnownEntry[] = []
      for await (const some of store.entries(account)) {
        for (const entry of some) {
          store.requireFound(entry)
          const found = knownOf(entry)
          if (found !== null) known.push(found)
        }
      }
      return this.#stateOf(store, account, known)
    } catch (error) {
      await store.close()
      throw damageOr(path, error)
    }
  }

  async #storeAt(path: string, isNew: boolean): Promise<LevelStore> {
    return new LevelStore(await openLevel(path, isNew), path, this.storage === 'durable')
  }

  #stateOf(store: LevelStore, account: Account, known: KnownEntry[]): State {
    const changes = new Changes(store, account.tally)
    const sessions = new MemorySessions((key, answered) => {
      state.changes.setSession({ key, index: this.#index }, answered)
    })
    for (const { key, known: one } of known.sort((a, b) => a.index - b.index))
      sessions.add(key, one)
    const state: State = { store, account, chain: new Chain(account.chain), sessions, changes }
    return state
  }

  /** After all that was begun before, however that ends. */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(act)
    this.#turn = Promise.allSettled([done])
    return done
  }

  #opened(): Open {
    if (this.#failure !== null) throw this.#failure
    if (this.#open === null) throw new Error('the machine is not open')
    return this.#open
  }
}

export function createMachine(place: PlugInPlace): LevelMachine {
  return new LevelMachine(place)
}

const key = (text: string): Uint8Array => Buffer.from(text)

/** For `npm run test-machine`. */
export const samples: readonly Uint8Array[] = [
  ...['a', 'b', 'a/1', 'é'].map(name =>
    encodeCommand({ kind: 'put', key: key(name), value: key(`value of ${name}`) }),
  ),
  encodeCommand({ kind: 'put', key: key('a'), value: new Uint8Array(0) }),
  encodeCommand({ kind: 'put', key: key('large'), value: new Uint8Array(20_000) }),
  ...['a', 'b', 'none'].map(name => encodeCommand({ kind: 'delete', key: key(name) })),
  Uint8Array.of(9),
]

export const queries: readonly Uint8Array[] = [
  encodeQuery({ kind: 'list', prefix: key(''), after: key(''), limit: 1000 }),
  encodeQuery({ kind: 'list', prefix: key('a'), after: key('a'), limit: 2 }),
  ...['a', 'b', 'a/1', 'é', 'large', 'none'].map(name =>
    encodeQuery({ kind: 'get', key: key(name) }),
  ),
]

function change(changes: Changes, command: LevelCommand, index: number): void {
  const { key } = command
  if (command.kind === 'delete') {
    changes.deleteRow(key)
    return
  }
  const createIndex = changes.row(key)?.createIndex ?? index
  changes.putRow(key, { value: command.value, createIndex, modifyIndex: index })
}

/** Null when undecodable: the only failure that every replica shares, known before anything was changed. */
function tryDecode(command: Uint8Array): LevelCommand | null {
  try {
    return decodeCommand(command)
  } catch (error) {
    if (error instanceof DecodeError) return null
    throw error
  }
}

function checkIdentity(found: Identity, own: Identity): void {
  for (const field of ['clusterId', 'nodeId', 'incarnation'] as const) {
    if (found[field] === own[field]) continue
    throw new Error(`belongs to ${field} ${found[field]}, not ${own[field]}`)
  }
}

async function noMore(): Promise<void> {}
