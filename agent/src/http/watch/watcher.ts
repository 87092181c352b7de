import type { ServerResponse } from 'node:http'
import type { ChangeFeed } from '../../machine/kv/change-feed.ts'
import { bookmarkEvent, changeEvent, droppedEvent, type Readable } from './event-text.ts'

/** Entries that are looked at in one go. */
const READ_ENTRIES = 256
/** Text that is handed to the socket in one go: what one watcher holds beside the socket's own buffer. */
const WRITE_BYTES = 64 * 1024

export interface WatcherOptions {
  readonly feed: ChangeFeed
  readonly outgoing: ServerResponse
  readonly prefix: Uint8Array
  /** the index that the client has seen */
  readonly after: number
  /** Which keys may be shown now; null: all. `nothing`: the right to watch has ended. */
  readonly permit: () => Readable | 'nothing'
  /** It was too slow for what is kept. */
  readonly onDrop: () => void
}

/**
 * One client that is told of changes. It has no queue of its own: it remembers how far it is, and
 * reads the feed when its socket takes more. One that is too slow finds that the feed has moved on,
 * and is dropped with the reason.
 */
export class Watcher {
  readonly #feed: ChangeFeed
  readonly #outgoing: ServerResponse
  readonly #prefix: Uint8Array
  readonly #permit: WatcherOptions['permit']
  readonly #onDrop: () => void
  /** all up to here was sent, or does not concern it; while it is idle, all up to the feed's last */
  #position: number
  #idle = false
  /** since when the socket takes nothing, monotonic ms; null: it does */
  #blockedAt: number | null = null

  constructor({ feed, outgoing, prefix, after, permit, onDrop }: WatcherOptions) {
    this.#feed = feed
    this.#outgoing = outgoing
    this.#prefix = prefix
    this.#position = after
    this.#permit = permit
    this.#onDrop = onDrop
    outgoing.on('drain', () => {
      this.#blockedAt = null
      this.pump()
    })
  }

  /** Something may have changed from `first` on. @returns whether it has to be pumped for it */
  wake(first: number): boolean {
    if (!this.#idle) return false
    this.#idle = false
    this.#position = Math.max(this.#position, first - 1)
    return true
  }

  /** Sends what there is, as far as the socket takes it. */
  pump(): void {
    const readable = this.#permit()
    if (readable === 'nothing') {
      this.end('forbidden')
      return
    }
    while (this.#blockedAt === null && !this.#idle && !this.#outgoing.writableEnded) {
      const entries = this.#feed.read(this.#position, READ_ENTRIES)
      if (entries === null) {
        this.#onDrop()
        this.end('compacted')
        return
      }
      let text = ''
      for (const entry of entries) {
        text += changeEvent(entry, this.#prefix, readable)
        this.#position = entry.index
        if (text.length >= WRITE_BYTES) break
      }
      if (text !== '') this.#write(text)
      else if (entries.length < READ_ENTRIES) this.#idle = true
    }
  }

  /** Says how far it is, if it is up to date; a client that has not read for `blockedMsMax` is cut off. */
  bookmark(blockedMsMax: number): void {
    if (this.#blockedAt !== null) {
      if (performance.now() - this.#blockedAt > blockedMsMax) this.#outgoing.destroy()
      return
    }
    if (this.#permit() === 'nothing') {
      this.end('forbidden')
      return
    }
    if (!this.#idle) return
    this.#position = Math.max(this.#position, this.#feed.last)
    this.#write(bookmarkEvent(this.#position))
  }

  /** The first event: where the watch begins. */
  begin(): void {
    this.#write(`retry: 1000\n${bookmarkEvent(this.#position)}`)
    this.pump()
  }

  end(reason: 'compacted' | 'closing' | 'forbidden'): void {
    if (!this.#outgoing.writableEnded) this.#outgoing.end(droppedEvent(reason))
  }

  #write(text: string): void {
    if (!this.#outgoing.write(text)) this.#blockedAt = performance.now()
  }
}
