/** What a companion decides: which tree is taken, tested, put in place, kept or given back. */

import type { StructureReport } from '../http/structure-view.ts'
import { WORDS_MAX } from '../http/structure-view.ts'
import { layOut, type TreeRow } from './layout.ts'
import type { Check, Reload } from './nginx-control.ts'
import type { Confirmed, Release, ReleaseStore } from './release-store.ts'

/** All keys below the prefix, as of one entry of the log. */
export interface Tree {
  readonly index: number
  readonly rows: readonly TreeRow[]
}

/** The nginx of this node. */
export interface Nginx {
  check(directory: string): Promise<Check>
  reload(): Promise<Reload>
  tell(): void
  master(): number | null
}

/** Moments between two steps of which a crash must do no harm; tests end the companion there. */
export const STRUCTURE_POINTS = [
  'written',
  'checked',
  'linked',
  'reloaded',
  'confirmed',
  'returned',
] as const

export type StructurePoint = (typeof STRUCTURE_POINTS)[number]

export interface CompanionOptions {
  /** what the keys begin with; asked for only once there are keys */
  readonly prefix: () => string
  readonly store: ReleaseStore
  readonly nginx: Nginx
  /** relative name by which nginx's configuration includes the releases */
  readonly link: string
  /** Unix ms */
  readonly now: () => number
  readonly reach: (point: StructurePoint) => void
  /** called whenever `report()` has changed */
  readonly onChange: () => void
}

const FAULTS_SHOWN = 10

export class Companion {
  readonly #options: CompanionOptions
  /** what nginx runs, or will when it starts */
  #confirmed: Confirmed | null = null
  #report: StructureReport

  constructor(options: CompanionOptions) {
    this.#options = options
    const nothing = { index: null, tried: null, error: null, warning: null }
    this.#report = { state: 'starting', ...nothing, since: options.now() }
  }

  report(): StructureReport {
    return this.#report
  }

  /** Whether what is known now could come out otherwise if it were tried again. */
  get isUnsettled(): boolean {
    return this.#report.state === 'rejected' || this.#report.state === 'blocked'
  }

  /** Finds what counts, makes it so where a run was interrupted, and makes an empty release where there is none. */
  async open(): Promise<void> {
    const { store } = this.#options
    store.open()
    const noted = store.confirmed()
    const current = store.current() ?? (noted === null ? null : store.find(noted.release))
    if (current === null) {
      const { digest, files } = emptyLayout()
      store.link(store.write(files, { index: 0, digest }))
      return
    }
    if (store.current() === null) store.link(current)
    const index = Number.parseInt(current.name, 10)
    // The empty one of the first start: the first tree that comes is tried, whatever is in it.
    if (noted === null && index === 0) return
    if (noted?.release === current.name) {
      this.#confirmed = noted
      this.#runs(null)
      return
    }
    // It passed its check, and whether nginx was told is not known.
    await this.#load(current, {
      index,
      before: noted === null ? null : store.find(noted.release),
      warning: null,
    })
  }

  /** A newer tree is there, and has to wait. */
  pending(index: number, why: string): void {
    const error = `index ${index} waits its turn: ${why}`
    this.#tell({ state: 'pending', tried: this.#report.tried, error })
  }

  /** No tree could be had. */
  blocked(words: string): void {
    this.#tell({ state: 'blocked', tried: this.#report.tried, error: words })
  }

  /** nginx comes and goes; it starts with what counts. */
  observe(): void {
    const { state } = this.#report
    if (this.#confirmed !== null && (state === 'ok' || state === 'stopped')) {
      this.#runs(this.#report.warning)
    }
  }

  async take({ index, rows }: Tree): Promise<void> {
    const { prefix, store, nginx, reach } = this.#options
    const runs = this.#confirmed
    if (runs !== null && index < runs.index) {
      const words = `the store is at index ${index}, and ${runs.index} runs here: another store, or one that was restored. If that is meant, start the companion once with --accept-older`
      this.#tell({ state: 'blocked', tried: index, error: words })
      return
    }
    const layout = layOut(rows, prefix())
    if (layout.kind === 'faults') {
      this.#rejected(index, firstOf(layout.faults))
      return
    }
    const current = store.current()
    if (current !== null && runs?.release === current.name && current.digest === layout.digest) {
      this.#confirm({ release: current.name, index })
      this.#runs(this.#report.warning)
      return
    }
    const { files, digest } = layout
    const release = store.write(files, { index, digest })
    reach('written')
    const check = await nginx.check(release.directory)
    if (check.kind !== 'passed') {
      await this.#refused(index, { check, release, current })
      return
    }
    reach('checked')
    await this.#load(release, { index, before: current, warning: check.warning })
  }

  /** What has been confirmed may be older than what runs: for a store that was restored. */
  forget(): void {
    if (this.#confirmed === null) return
    this.#confirmed = { ...this.#confirmed, index: 0 }
  }

  /** Whose fault is it? A configuration that is refused without this change as well says nothing about it. */
  async #refused(
    index: number,
    { check, release, current }: { check: Check; release: Release; current: Release | null },
  ): Promise<void> {
    const { nginx, link } = this.#options
    if (check.kind === 'unincluded') {
      const words = `nginx's configuration does not include ${link}/http.conf, or not by this relative name`
      this.#tell({ state: 'blocked', tried: index, error: words })
      return
    }
    const words = check.kind === 'refused' ? this.#inKeys(check.words, release) : ''
    const without = current === null ? null : await nginx.check(current.directory)
    if (without?.kind !== 'refused') {
      this.#rejected(index, words)
      return
    }
    const blocked = `nginx refuses its configuration without this change as well: ${words}`
    this.#tell({ state: 'blocked', tried: index, error: blocked })
  }

  /** @param before what comes back when nginx does not take it */
  async #load(
    release: Release,
    {
      index,
      before,
      warning,
    }: { readonly index: number; readonly before: Release | null; readonly warning: string | null },
  ): Promise<void> {
    const { store, nginx, reach } = this.#options
    store.link(release)
    reach('linked')
    const reload = await nginx.reload()
    reach('reloaded')
    if (reload.kind === 'refused') {
      if (before !== null && before.name !== release.name) store.link(before)
      reach('returned')
      // Should it have been taken after all, it is not from now on.
      nginx.tell()
      this.#rejected(index, this.#inKeys(reload.words, release))
      return
    }
    this.#confirm({ release: release.name, index })
    reach('confirmed')
    this.#runs(warning === null ? null : this.#inKeys(warning, release))
  }

  #confirm(confirmed: Confirmed): void {
    const { release, index } = this.#confirmed ?? {}
    if (release !== confirmed.release || index !== confirmed.index) {
      this.#options.store.confirm(confirmed)
    }
    this.#confirmed = confirmed
  }

  #runs(warning: string | null): void {
    const { index = null } = this.#confirmed ?? {}
    const state = this.#options.nginx.master() === null ? 'stopped' : 'ok'
    const error = state === 'ok' ? null : 'nginx does not run: it will start with this'
    this.#tell({ state, tried: index, error, warning })
  }

  #rejected(index: number, words: string): void {
    this.#tell({ state: 'rejected', tried: index, error: words })
  }

  #tell(
    told: Pick<StructureReport, 'state' | 'tried' | 'error'> & { readonly warning?: string | null },
  ): void {
    const { now, onChange } = this.#options
    const last = this.#report
    const cut = (words: string | null) => words?.slice(0, WORDS_MAX) ?? null
    const next = {
      state: told.state,
      index: this.#confirmed?.index ?? null,
      tried: told.tried,
      error: cut(told.error),
      warning: cut(told.warning === undefined ? last.warning : told.warning),
    }
    const { since, ...before } = last
    if (JSON.stringify(before) === JSON.stringify(next)) return
    const same = last.state === next.state && last.tried === next.tried
    this.#report = { ...next, since: same ? since : now() }
    onChange()
  }

  /** Names of files as those of keys. */
  #inKeys(words: string, { directory }: Release): string {
    const { prefix } = this.#options
    return words.trim().replaceAll(`${directory}/`, prefix())
  }
}

function firstOf(faults: readonly string[]): string {
  const more = faults.length - FAULTS_SHOWN
  const shown = faults.slice(0, FAULTS_SHOWN)
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('\n')
}

function emptyLayout() {
  const layout = layOut([], '')
  if (layout.kind === 'faults') throw new Error('nothing has no faults')
  return layout
}
