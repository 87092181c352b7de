import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import {
  CHECKPOINT_WORKER,
  type CheckpointAnswer,
  type CheckpointRequest,
  type CheckpointWorkerData,
} from './checkpoint-worker.ts'
import { startDatabaseThread } from './database-thread.ts'

const BUSY_MS = 200
const WAL_KEPT_BYTES = 64 * 1024 * 1024

/** How a checkpoint ended. */
export type Moved = Pick<Extract<CheckpointAnswer, { kind: 'done' }>, 'complete' | 'frames'>

/** Runs the checkpoints of one file on a thread, which the first of them starts. One call at a time. */
export class Checkpointer {
  readonly #file: string
  #worker: Worker | null = null
  /** set once, by a failure that nothing on this file can be trusted after */
  #failure: Error | null = null

  constructor(file: string) {
    this.#file = file
  }

  /** The next `copy` goes no further than what is committed now. */
  async pin(): Promise<void> {
    await this.#ask('pin')
  }

  /** Moves the bulk of the WAL into the database; commits and reads go on meanwhile. */
  async copy(): Promise<void> {
    await this.#ask('copy')
  }

  /**
   * Moves the rest, and lets the WAL start over from its beginning. Nobody may commit meanwhile.
   * @returns not complete when a reader outside this process stood in the way: the next call tries again
   */
  restart(): Promise<Moved> {
    return this.#ask('restart')
  }

  /** Closes the thread's connection; when that is the last one, SQLite's own last checkpoint runs there. */
  async close(): Promise<void> {
    const worker = this.#worker
    if (worker === null) return
    try {
      if (this.#failure === null) await this.#ask('close')
    } finally {
      this.#worker = null
      await worker.terminate()
    }
  }

  async #ask(request: CheckpointRequest): Promise<Moved> {
    if (this.#failure !== null) throw this.#failure
    this.#worker ??= startWorker(this.#file)
    const answer = await exchange(this.#worker, request)
    if (answer.kind === 'done') return answer
    const error = new Error(`${request} of ${this.#file}: ${answer.message}`)
    // A full disk loses nothing and may have room later. After any other error pages can be clean in
    // the cache but not on the disk, where a second fsync would "succeed": it is not tried.
    if (answer.code !== 'SQLITE_FULL') this.#failure = error
    throw error
  }
}

function startWorker(file: string): Worker {
  return startDatabaseThread<CheckpointWorkerData>(CHECKPOINT_WORKER, {
    file,
    busyMs: BUSY_MS,
    walKeptBytes: WAL_KEPT_BYTES,
  })
}

/** Keeps the process alive for the time of one request only. */
async function exchange(worker: Worker, request: CheckpointRequest): Promise<CheckpointAnswer> {
  worker.ref()
  try {
    const answered = once(worker, 'message')
    worker.postMessage(request)
    const [answer] = (await answered) as [CheckpointAnswer]
    return answer
  } catch (cause) {
    return { kind: 'failed', code: 'THREAD', message: String(cause) }
  } finally {
    worker.unref()
  }
}
