import type { LogIndex } from '../raft/types.ts'

interface Waiter {
  readonly index: LogIndex
  readonly deadline: number
  readonly resolve: (reached: boolean) => void
}

/** Requests that wait until this node has applied an index. Few at a time; swept at every tick. */
export class Waiters {
  #waiters: Waiter[] = []

  get size(): number {
    return this.#waiters.length
  }

  add(waiter: Waiter): void {
    this.#waiters.push(waiter)
  }

  applied(index: LogIndex): void {
    this.#settle(waiter => waiter.index <= index, true)
  }

  expire(now: number): void {
    this.#settle(waiter => waiter.deadline <= now, false)
  }

  #settle(due: (waiter: Waiter) => boolean, reached: boolean): void {
    if (!this.#waiters.some(due)) return
    const settled = this.#waiters.filter(due)
    this.#waiters = this.#waiters.filter(waiter => !due(waiter))
    for (const waiter of settled) waiter.resolve(reached)
  }
}
