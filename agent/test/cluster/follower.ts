import { setTimeout as sleep } from 'node:timers/promises'
import { EventStream } from '../http/event-stream.ts'

interface Change {
  readonly index: number
  readonly changes: readonly Record<string, unknown>[]
}

const RETRY_MS = 50

/** A client that follows all changes: whenever its watch ends it comes back with the last id that it has seen. */
export class Follower {
  /** in the order in which they came */
  readonly changes: Change[] = []
  /** answers to its watches, by status; null: none came */
  readonly statuses = new Map<number | null, number>()
  #lastId = '0'
  #stopped = false
  #stream: EventStream | null = null
  readonly #ended: Promise<void>

  /** @param ports asked in turns; of one only that one */
  constructor(ports: readonly number[]) {
    this.#ended = this.#follow(ports)
  }

  get last(): number {
    return this.changes.at(-1)?.index ?? 0
  }

  /** Its watch ends, as where a network fails; it comes back. */
  cut(): void {
    this.#stream?.close()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.cut()
    await this.#ended
  }

  async #follow(ports: readonly number[]): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const port = ports[turn % ports.length] ?? 0
      const path = `/v1/watch?prefix=watched-&since=${this.#lastId}`
      const stream = new EventStream({ host: '127.0.0.1', port }, path)
      this.#stream = stream
      let taken = 0
      const take = () => {
        for (; taken < stream.events.length; taken++) {
          const { event, id, data } = stream.events[taken] ?? { event: '', id: '', data: '' }
          if (event === 'change') this.changes.push(JSON.parse(data) as Change)
          if (id !== '') this.#lastId = id
        }
      }
      while (!stream.ended && !this.#stopped) {
        take()
        await sleep(RETRY_MS / 5)
      }
      take()
      stream.close()
      this.statuses.set(stream.status, (this.statuses.get(stream.status) ?? 0) + 1)
      await sleep(RETRY_MS)
    }
  }
}
