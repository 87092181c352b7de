import type { ChangeFeed } from '../../machine/kv/change-feed.ts'
import { Watcher, type WatcherOptions } from './watcher.ts'

/** A bookmark comes this often, ms; the watchers take turns, so that not all of them are written to at once. */
const BOOKMARK_MS = 10_000
const TURNS = 40
/** A client whose socket has taken nothing for so long is cut off. */
const BLOCKED_MS_MAX = 60_000

/** All watchers of one agent: woken together once a turn, and none of them by what does not concern it. */
export class Watches {
  /** clients that are served now */
  size = 0
  /** clients that were too slow for what the feed keeps */
  dropped = 0
  readonly #feed: ChangeFeed
  readonly #turns: readonly Set<Watcher>[]
  readonly #woken = new Set<Watcher>()
  #added = 0
  #turn = 0
  #scheduled = false
  #timer: NodeJS.Timeout | null = null

  constructor(feed: ChangeFeed) {
    this.#feed = feed
    this.#turns = Array.from({ length: TURNS }, () => new Set())
  }

  /** Serves one client until it leaves. */
  add(options: Omit<WatcherOptions, 'feed' | 'onDrop'>): void {
    const onDrop = () => void this.dropped++
    const watcher = new Watcher({ ...options, feed: this.#feed, onDrop })
    this.size++
    const turn = this.#turns[this.#added++ % TURNS]
    const interest = { kind: 'prefix' as const, bytes: options.prefix }
    const stopListening = this.#feed.listen(interest, first => {
      if (watcher.wake(first)) this.#pumpSoon(watcher)
    })
    turn?.add(watcher)
    this.#timer ??= setInterval(() => this.#bookmarkSome(), BOOKMARK_MS / TURNS).unref()
    options.outgoing.once('close', () => {
      this.size--
      stopListening()
      turn?.delete(watcher)
      this.#woken.delete(watcher)
    })
    watcher.begin()
  }

  /** The server ends: clients come back, here or elsewhere, with the last id that they have seen. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    for (const watchers of this.#turns) for (const watcher of watchers) watcher.end('closing')
  }

  /** After the turn in which entries were applied: their answers leave first. */
  #pumpSoon(watcher: Watcher): void {
    this.#woken.add(watcher)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      const woken = [...this.#woken]
      this.#woken.clear()
      for (const one of woken) one.pump()
    })
  }

  #bookmarkSome(): void {
    this.#turn = (this.#turn + 1) % TURNS
    for (const watcher of this.#turns[this.#turn] ?? []) watcher.bookmark(BLOCKED_MS_MAX)
  }
}
