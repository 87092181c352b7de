import { assert } from '../lib/assert.ts'
import type { LogStore } from '../log/log-store.ts'
import type { SnapshotStore, StoredSnapshot } from '../log/snapshot-store.ts'
import { requireForward, type StateMachine } from '../machine/state-machine.ts'
import type { Effect } from '../raft/effect.ts'
import type { SnapshotHeader } from '../raft/types.ts'
import type { Reach } from './fault-points.ts'

export type Install = Extract<Effect, { kind: 'install-snapshot' }>

export interface InstallerOptions {
  readonly log: LogStore
  readonly machine: StateMachine<never, unknown>
  readonly store: SnapshotStore
  /** Path of the file, which was verified; null: it is gone. */
  readonly file: (header: SnapshotHeader) => string | null
  /** Resolves when nothing else is at work on log or machine. */
  readonly idle: () => Promise<void>
  readonly reach: Reach
  readonly onInstalled: (install: Install) => Promise<void>
  readonly onError: (error: unknown) => void
}

/**
 * Replaces machine and log by a snapshot. A crash before the mark leaves the old state; from the mark on
 * the next start goes on where this one ended (`decideRecovery`).
 */
export class Installer {
  readonly #options: InstallerOptions
  #running: Promise<void> | null = null
  #installs = 0

  constructor(options: InstallerOptions) {
    this.#options = options
  }

  get isInstalling(): boolean {
    return this.#running !== null
  }

  /** How many were carried out. */
  get installs(): number {
    return this.#installs
  }

  /** The core begins one when nothing is written or applied, and no other one before its end. */
  begin(install: Install): void {
    this.#running = this.#install(install).then(
      () => {
        this.#running = null
      },
      // `running` stays set: half an install is for the next start to finish.
      error => this.#options.onError(error),
    )
  }

  /** Resolves when none is under way. */
  async drained(): Promise<void> {
    await this.#running
  }

  async #install(install: Install): Promise<void> {
    const { log, machine, store, idle, reach } = this.#options
    const { header } = install
    await idle()
    const file = this.#options.file(header)
    assert(file !== null, 'a snapshot that is to be installed is there')
    reach('install:before')
    await log.mark(header)
    reach('install:marked')
    await restoreReceived({ machine, store }, header, file)
    reach('install:restored')
    await log.reset(header)
    reach('install:reset')
    this.#installs++
    await this.#options.onInstalled(install)
  }
}

interface Restored {
  readonly machine: StateMachine<never, unknown>
  readonly store: SnapshotStore
}

/**
 * The machine becomes the snapshot's. One in memory has it stored first: that is where each start begins.
 * @throws Divergence when that would take it back
 */
export async function restoreReceived(
  { machine, store }: Restored,
  header: SnapshotHeader,
  file: string,
): Promise<void> {
  requireForward(machine.applied(), header.position)
  if (machine.storage === 'memory')
    await restoreStored({ machine, store }, await store.adopt(header))
  else await restoreFile(machine, header, file)
}

/** @throws Divergence | SnapshotDamage | the machine's error, when the file is not what was stored */
export async function restoreStored(
  { machine, store }: Restored,
  stored: StoredSnapshot,
): Promise<void> {
  requireForward(machine.applied(), stored.header.position)
  const copy = await store.checkOut(stored)
  try {
    await machine.inspect(copy)
    await restoreFile(machine, stored.header, copy)
  } finally {
    await store.dropCheckedOut()
  }
}

async function restoreFile(
  machine: StateMachine<never, unknown>,
  { position }: SnapshotHeader,
  file: string,
): Promise<void> {
  const { index, term } = await machine.restore(file)
  const same = index === position.index && term === position.term
  assert(same, 'a restored machine is where its snapshot was taken')
}
