import type { Scheduler } from './scheduler.ts'

/** What a node has still to do: it waits while the node stands still, and is forgotten when the node crashes. */
export class Agenda {
  /** stands still, as a process that is stopped or a machine that is moved */
  paused = false
  readonly #scheduler: Scheduler
  #backlog: (() => void)[] = []
  /** counts the crashes */
  #life = 0

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  resume(): void {
    this.paused = false
    const backlog = this.#backlog
    const life = this.#life
    this.#backlog = []
    for (const happen of backlog) if (life === this.#life) happen()
  }

  clear(): void {
    this.#life++
    this.paused = false
    this.#backlog = []
  }

  now(happen: () => void): void {
    if (this.paused) this.#backlog.push(happen)
    else happen()
  }

  after(ticks: number, happen: () => void): void {
    const life = this.#life
    this.#scheduler.after(ticks, () => {
      if (life === this.#life) this.now(happen)
    })
  }
}
