import type { Cluster, Member } from '../cluster.ts'
import { processesUs, readCpu } from '../process-cpu.ts'
import { quantile } from '../statistics.ts'
import { askedAt } from './attempts.ts'
import type { Watched, WatchStream } from './watch-stream.ts'

const WATCHERS = 1_000
const WARM_UP = 10
const CHANGES = 100
const PATIENCE_MS = 30_000

export interface Watching {
  /** from the request that changes the key until the last watcher has the change, ms */
  readonly p50Ms: number
  readonly p99Ms: number
  /** of all servers, a change with all that it is told to, µs */
  readonly cpuUs: number
}

/** Watchers on all members alike; one change after the other, each as soon as everybody has the last. */
export async function measureWatchers(
  cluster: Cluster,
  watch: (port: number, watched: Watched) => WatchStream,
): Promise<Watching> {
  const leader = await cluster.leader()
  const { serverPids } = await cluster.aimAt('agent', 'writes')
  const crowd = new Crowd(cluster.members(), watch)
  try {
    await crowd.all('opened', WATCHERS)
    for (let at = 0; at < WARM_UP; at += 1) await oneChange(leader, crowd)
    const before = readCpu(serverPids)
    const tookMs: number[] = []
    for (let at = 0; at < CHANGES; at += 1) tookMs.push(await oneChange(leader, crowd))
    const cpuUs = processesUs(before, readCpu(serverPids)) / CHANGES
    return { p50Ms: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99), cpuUs }
  } finally {
    crowd.close()
  }
}

async function oneChange(leader: Member, crowd: Crowd): Promise<number> {
  const value = `${crowd.changes}`.padEnd(100, 'x')
  const beganMs = performance.now()
  const [written] = await Promise.all([
    askedAt(leader.write(value), AbortSignal.timeout(PATIENCE_MS)),
    crowd.all('seen', crowd.changes + WATCHERS),
  ])
  if (written === null) throw new Error('a write failed')
  return performance.now() - beganMs
}

/** All watchers, and how much they have been told together. */
class Crowd {
  readonly #streams: readonly WatchStream[]
  readonly #counts = { opened: 0, seen: 0 }
  #error: Error | null = null
  #closed = false
  #onCount: () => void = () => undefined

  constructor(members: readonly Member[], watch: (port: number, watched: Watched) => WatchStream) {
    const watched: Watched = {
      onOpen: () => this.#count('opened'),
      onChange: () => this.#count('seen'),
      onError: error => this.#fail(error),
    }
    this.#streams = Array.from({ length: WATCHERS }, (_, at) =>
      watch(members[at % members.length]?.port ?? 0, watched),
    )
  }

  get changes(): number {
    return this.#counts.seen
  }

  /** @throws Error when it is not so many in time, or a watch has ended */
  all(what: 'opened' | 'seen', count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`${this.#counts[what]} of ${count} ${what}`))
      }, PATIENCE_MS)
      this.#onCount = () => {
        if (this.#error === null && this.#counts[what] < count) return
        clearTimeout(late)
        if (this.#error === null) resolve()
        else reject(this.#error)
      }
      this.#onCount()
    })
  }

  close(): void {
    this.#closed = true
    for (const stream of this.#streams) stream.close()
  }

  #count(what: 'opened' | 'seen'): void {
    this.#counts[what] += 1
    this.#onCount()
  }

  #fail(error: Error): void {
    if (this.#closed) return
    this.#error ??= error
    this.#onCount()
  }
}
