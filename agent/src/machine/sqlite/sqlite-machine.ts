import { existsSync, readFileSync, statSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { writeSynced } from '../../os/durable-file.ts'
import { type FileLock, lockOwner } from '../../os/file-lock.ts'
import { type Identity, type LogPosition, ORIGIN } from '../../raft/types.ts'
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
import { Checkpointer } from './checkpointer.ts'
import type { EngineKind } from './engine.ts'
import { type ReplaceStep, replaceDatabase } from './replace-file.ts'
import { openDatabase, type Place } from './schema.ts'
import type { OwnFile } from './snapshot-worker.ts'
import { adoptFile, inspectFile, type PinnedView, pinView, requireWhole } from './snapshots.ts'
import { SqliteStore } from './sqlite-store.ts'
import { PageGuard } from './sums/page-guard.ts'
import { sealed, unsealed, verifySeal } from './sums/seal.ts'

/** A transaction is committed so long after it began, ms, unless that is due before: see `CommitPolicy`. */
const COMMIT_MS = 2_000
/** Once it is due, so many rows that wait in memory are written for each entry: then soon none is left. */
const ROWS_PER_ENTRY = 8
/** Where no entries come, so many a turn. */
const ROWS_PER_TURN = 256

/** What exists between `open` and `close`. */
interface Open<Query, Answer> {
  readonly identity: Identity
  store: SqliteStore<Query, Answer>
  /** null in memory, as is the next one */
  readonly lock: FileLock | null
  checkpointer: Checkpointer | null
  guard: PageGuard | null
}

/** A state machine in SQLite: an engine's tables, and the applied position in the same transactions. */
export class SqliteMachine<Query, Answer> implements StateMachine<Query, Answer> {
  readonly storage: 'durable' | 'memory'
  readonly #file: string | null
  readonly #kind: EngineKind<Query, Answer>
  readonly #onRestore: (step: ReplaceStep) => void
  #open: Open<Query, Answer> | null = null
  /** while a checkpoint or a restore needs the writer to hold still; applies wait for it, reads do not */
  #gate: Promise<void> | null = null
  #checkpoint: Promise<LogPosition> | null = null
  #commitTimer: NodeJS.Timeout | null = null
  /** who waits for a commit to have little to write */
  #settling = 0
  /** of a restore or a checkpoint, after which nothing can be done with the machine; see also `SqliteStore.failure` */
  #failure: unknown = null
  /** applied before the last complete checkpoint began: power loss takes back nothing up to here */
  #durable = ORIGIN
  /** views that are read: the WAL cannot start over while there are any */
  readonly #views = new Set<PinnedView>()

  /**
   * @param file path of the database, whose folder exists; null keeps everything in memory
   * @param onRestore for tests: called where a crash in a restore would leave something half done
   */
  constructor(
    file: string | null,
    kind: EngineKind<Query, Answer>,
    onRestore: (step: ReplaceStep) => void = () => undefined,
  ) {
    this.#file = file
    this.#kind = kind
    this.#onRestore = onRestore
    this.storage = file === null ? 'memory' : 'durable'
  }

  /** @throws also when another machine owns the file, when SQLite is too old, or the schema too new */
  open(identity: Identity): Applied | Promise<Applied> {
    if (this.#open !== null) throw new Error('the machine is open already')
    if (this.#file !== null) return this.#openFile(this.#file, identity)
    const store = this.#storeAt({ file: null }, identity)
    this.#open = { identity, store, lock: null, checkpointer: null, guard: null }
    return this.#started(store)
  }

  async apply(
    entries: readonly CommittedEntry[],
    configuration: Uint8Array,
  ): Promise<readonly (Result | null)[]> {
    while (this.#gate !== null) await this.#gate
    const { store } = this.#opened()
    const results = store.apply(entries, configuration)
    const { due } = store
    if (!due) this.#commitSoon()
    if (due || this.#settling > 0) {
      const settled = store.settle(ROWS_PER_ENTRY * entries.length)
      if (due && settled) this.#commit(store)
    }
    return results
  }

  query(query: Query): Answer {
    return this.#opened().store.query(query)
  }

  applied(): Applied {
    return this.#opened().store.applied()
  }

  durablePosition(): LogPosition {
    this.#opened()
    return this.#durable
  }

  checkpointDue(): boolean {
    return this.#open?.store.walIsLong ?? false
  }

  /**
   * Moves the WAL into the database and lets it start over. Under a steady load the WAL never comes to
   * its end by itself, so the last part, short, holds applies back. A call during another joins it.
   * @throws when the disk failed; unless it was full, nothing in the file can be trusted from then on
   */
  checkpoint(): Promise<LogPosition> {
    this.#checkpoint ??= this.#runCheckpoint().finally(() => {
      this.#checkpoint = null
      this.#open?.store.checkpointed()
    })
    return this.#checkpoint
  }

  /** Commits first, so that the view is of all that was applied. One thread and one connection for each view. */
  async snapshot(): Promise<SnapshotView> {
    await this.#settle()
    while (this.#gate !== null) await this.#gate
    const { store } = this.#opened()
    store.commit()
    if (this.#file === null) return imageView(store)
    const view = await pinView(this.#file, {
      verify: seal => this.#opened().guard?.verifyCopy(seal) ?? Promise.resolve(),
      onEnd: ended => void this.#views.delete(ended),
    })
    this.#views.add(view)
    return view
  }

  inspect(file: string): Promise<Applied> {
    const { identity, store } = this.#opened()
    return inspectFile(this.#own(file, store), identity)
  }

  adopt(file: string, begin: (former: Former) => Beginning): Promise<Applied> {
    const { identity, store } = this.#opened()
    return adoptFile(this.#own(file, store), identity, begin)
  }

  /** @throws also when the file is not one that was inspected; nothing can be done with the machine then */
  async restore(file: string): Promise<Applied> {
    while (this.#gate !== null) await this.#gate
    const open = this.#opened()
    const restored = this.#replace(open, file).finally(() => {
      this.#gate = null
    })
    this.#gate = settled(restored)
    return restored
  }

  async close(): Promise<void> {
    await this.#endViews()
    // A failure of it is for whoever asked for the checkpoint.
    if (this.#checkpoint !== null) await settled(this.#checkpoint)
    const open = this.#open
    if (open === null) return
    this.#open = null
    this.#durable = ORIGIN
    if (this.#commitTimer !== null) clearTimeout(this.#commitTimer)
    if (this.#failure === null && open.store.failure === null) open.store.commit()
    await open.guard?.record()
    await open.store.endReaders()
    // In this order: whoever closes last copies the rest of the WAL, which belongs on the thread; and
    // the owner's lock must outlive both.
    open.store.close()
    await open.checkpointer?.close()
    open.lock?.release()
  }

  async #openFile(file: string, identity: Identity): Promise<Applied> {
    const lock = lockOwner(file)
    try {
      const guard = (await PageGuard.open(file)) ?? (await this.#begin(file, identity))
      const store = this.#storeAt({ file }, identity)
      this.#open = { identity, store, lock, checkpointer: new Checkpointer(file), guard }
      return this.#started(store)
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** Makes a new file, or takes one of an earlier version over; leaves no WAL. */
  async #begin(file: string, identity: Identity): Promise<PageGuard> {
    if (existsSync(file) && statSync(file).size > 0) await requireWhole(file, this.#kind.shape)
    const db = openDatabase({ file }, identity, this.#kind)
    const pageBytes = Number(db.pragma('page_size', { simple: true }))
    db.close()
    return PageGuard.begin(file, pageBytes)
  }

  async #runCheckpoint(): Promise<LogPosition> {
    const { store, checkpointer, guard } = this.#opened()
    const done = store.position === this.#durable
    if (checkpointer === null || guard === null || done) return this.#durable
    await this.#settle()
    store.commit()
    await checkpointer.pin()
    await guard.record()
    await checkpointer.copy()
    if (this.#views.size > 0) return this.#durable
    await this.#settle()
    store.commit()
    const restart = this.#restartWal(checkpointer, guard).finally(() => {
      this.#gate = null
    })
    this.#gate = settled(restart)
    const { position } = store // stays so until the gate opens
    if (await restart) this.#durable = position
    return this.#durable
  }

  async #restartWal(checkpointer: Checkpointer, guard: PageGuard): Promise<boolean> {
    await guard.record()
    const { complete, frames } = await checkpointer.restart()
    if (frames <= guard.frames) return complete
    const problem = `frame ${guard.frames + 1} of its WAL differs from its checksum`
    this.#failure = new MachineDamaged(this.#file ?? '', problem)
    throw this.#failure
  }

  #own(file: string, store: SqliteStore<Query, Answer>): Omit<OwnFile, 'sealed'> {
    const { shape, applicationId } = this.#kind
    return { file, schema: store.schema(), shape, applicationId }
  }

  #storeAt(place: Place, identity: Identity): SqliteStore<Query, Answer> {
    return new SqliteStore(openDatabase(place, identity, this.#kind), place.file, this.#kind)
  }

  #started(store: SqliteStore<Query, Answer>): Applied {
    this.#durable = this.#file !== null && store.flush() ? store.position : ORIGIN
    return store.applied()
  }

  async #endViews(): Promise<void> {
    await Promise.allSettled([...this.#views].map(view => view.end()))
  }

  async #replace(open: Open<Query, Answer>, file: string): Promise<Applied> {
    try {
      const seal = await verifySeal(file)
      if (seal === null) throw new Error(`${file} was not inspected`)
      if (this.#checkpoint !== null) await settled(this.#checkpoint)
      await this.#endViews()
      open.store.commit()
      await open.guard?.record()
      await open.store.endReaders()
      // What is in the database without its WAL must be a whole state, in case a crash leaves no more.
      await open.checkpointer?.copy()
      await open.checkpointer?.close()
      open.store.close()
      // From here to the end nothing waits: a query finds the old state or the new one.
      const place = this.#file === null ? { file: null, image: unsealed(readFileSync(file)) } : null
      if (this.#file !== null) {
        replaceDatabase(this.#file, file, this.#onRestore)
        open.guard = PageGuard.unseal(this.#file, seal)
      }
      open.store = this.#storeAt(place ?? { file: this.#file }, open.identity)
      open.checkpointer = this.#file === null ? null : new Checkpointer(this.#file)
      return this.#started(open.store)
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  /** A kill takes back what was not committed, and the log gives it again: so it need not be at once. */
  #commitSoon(): void {
    this.#commitTimer ??= setTimeout(() => {
      this.#commitTimer = null
      // A failure of it is for whoever comes next.
      void settled(this.#settle().then(() => this.#open?.store.commit()))
    }, COMMIT_MS).unref()
  }

  #commit(store: SqliteStore<Query, Answer>): void {
    store.commit()
    if (this.#commitTimer !== null) clearTimeout(this.#commitTimer)
    this.#commitTimer = null
  }

  /** Leaves little for a commit to write: turn by turn, and applies do their part. */
  async #settle(): Promise<void> {
    this.#settling += 1
    try {
      while (this.#open !== null && !this.#opened().store.settle(ROWS_PER_TURN))
        await setImmediate()
    } finally {
      this.#settling -= 1
    }
  }

  #opened(): Open<Query, Answer> {
    if (this.#failure !== null) throw this.#failure
    if (this.#open === null) throw new Error('the machine is not open')
    const { failure } = this.#open.store
    if (failure !== null) throw failure.cause
    return this.#open
  }
}

/** A database in memory is small, and copied at once. */
function imageView(store: SqliteStore<unknown, unknown>): SnapshotView {
  const [applied, image] = [store.applied(), sealed(store.image())]
  return { applied, writeTo: file => writeSynced(file, image), release: () => undefined }
}

/** Resolves when `promise` ends, whichever way. */
async function settled(promise: Promise<unknown>): Promise<void> {
  await Promise.allSettled([promise])
}
