import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import type { Identity } from '../../raft/types.ts'
import { asLogIndex, asTerm } from '../../raft/types.ts'
import { Chain } from '../chain.ts'
import {
  type Applied,
  type Beginning,
  type Former,
  MachineDamaged,
  type SnapshotView,
} from '../state-machine.ts'
import { startDatabaseThread } from './database-thread.ts'
import { saysDamage } from './schema.ts'
import {
  type OwnFile,
  SNAPSHOT_WORKER,
  type SnapshotAnswer,
  type SnapshotRequest,
  type SnapshotWorkerData,
  type StoredAccount,
} from './snapshot-worker.ts'
import { type Seal, sealFile, verifySeal } from './sums/seal.ts'

/** 1 MiB in a step of 512 pages; with the pause a copy takes at most some 200 MiB/s from the others. */
const STEP_PAGES = 512
const PAUSE_MS = 4
const SYNC_BYTES = 16 * 1024 * 1024

/** A view that tells when it has let go of the database. */
export interface PinnedView extends SnapshotView {
  end(): Promise<void>
}

interface PinOptions {
  /** Rejects when a copy has a page that the database never had. */
  readonly verify: (copy: Seal) => Promise<void>
  /** Called once, when the view has let go of the database. */
  readonly onEnd: (view: PinnedView) => void
}

/** A fixed view of a database, as of its last commit; the writer goes on meanwhile. */
export async function pinView(file: string, { verify, onEnd }: PinOptions): Promise<PinnedView> {
  const thread = new SnapshotThread(file)
  let ended: Promise<void> | null = null
  const end = () => {
    ended ??= thread.end().finally(() => onEnd(view))
    return ended
  }
  const account = await thread.ask({ kind: 'pin' }).catch(async error => {
    await thread.end()
    throw error
  })
  const view: PinnedView = {
    applied: appliedOf(account),
    writeTo: async to => {
      await thread.ask({ kind: 'copy', to })
      await sealFile(to, verify)
    },
    release: () => void end(),
    end,
  }
  return view
}

type Unverified = Omit<OwnFile, 'sealed'>

/** As `StateMachine.inspect`. */
export function inspectFile(own: Unverified, identity: Identity): Promise<Applied> {
  return take(own, (thread, file) => thread.ask({ kind: 'inspect', ...file, identity }))
}

/** As `StateMachine.adopt`. */
export function adoptFile(
  own: Unverified,
  identity: Identity,
  begin: (former: Former) => Beginning,
): Promise<Applied> {
  return take(own, async (thread, file) => {
    const account = await thread.ask({ kind: 'examine', ...file })
    const beginning = begin({
      clusterId: account?.clusterId ?? '',
      applied: appliedOf(account),
    })
    return thread.ask({ kind: 'adopt', file: file.file, identity, beginning })
  })
}

/**
 * Looks at every page and value of a database that has no checksums of its pages.
 * @throws MachineDamaged
 */
export async function requireWhole(file: string, shape: OwnFile['shape']): Promise<void> {
  await onFile(file, thread => thread.ask({ kind: 'require-whole', shape }))
}

/** Verifies a file's seal, lets `act` change the file, and seals it again. */
async function take(
  own: Unverified,
  act: (thread: SnapshotThread, own: OwnFile) => Promise<StoredAccount | null>,
): Promise<Applied> {
  const sealed = (await verifySeal(own.file)) !== null
  const account = await onFile(own.file, thread => act(thread, { ...own, sealed }))
  await sealFile(own.file)
  return appliedOf(account)
}

async function onFile(
  file: string,
  act: (thread: SnapshotThread) => Promise<StoredAccount | null>,
): Promise<StoredAccount | null> {
  const thread = new SnapshotThread(file)
  try {
    return await act(thread)
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    if (saysDamage(cause)) throw new MachineDamaged(file, problem, { cause })
    throw new Error(`${file}: ${problem}`, { cause })
  } finally {
    await thread.end()
  }
}

function appliedOf(account: StoredAccount | null): Applied {
  if (account === null) throw new Error('the position is missing')
  const { index, term, configuration, chain } = account
  const chainHash = new Chain(chain).hash()
  return { index: asLogIndex(index), term: asTerm(term), configuration, chainHash }
}

/** One thread for one view or one inspection. One request at a time. */
class SnapshotThread {
  readonly #worker: Worker
  #busy = false

  constructor(file: string) {
    this.#worker = startDatabaseThread<SnapshotWorkerData>(SNAPSHOT_WORKER, {
      file,
      stepPages: STEP_PAGES,
      pauseMs: PAUSE_MS,
      syncBytes: SYNC_BYTES,
    })
  }

  async ask(request: SnapshotRequest): Promise<StoredAccount | null> {
    this.#busy = true
    const ended = new AbortController()
    const over = once(this.#worker, 'exit', ended).then(() => {
      throw new Error(`${request.kind}: given up`)
    })
    const answered = once(this.#worker, 'message', ended)
    this.#worker.postMessage(request)
    try {
      const [answer] = (await Promise.race([answered, over])) as [SnapshotAnswer]
      if (answer.kind === 'done') return answer.account
      throw Object.assign(new Error(answer.message), { code: answer.code })
    } finally {
      this.#busy = false
      for (const loser of [answered, over]) loser.catch(() => undefined)
      ended.abort()
    }
  }

  /** Lets go of the database, and ends the thread, in the midst of a copy if need be. */
  async end(): Promise<void> {
    try {
      if (!this.#busy) await this.ask({ kind: 'release' })
    } finally {
      await this.#worker.terminate()
    }
  }
}
