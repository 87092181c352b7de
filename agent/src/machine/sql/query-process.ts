import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { QUERY_CHILD, type QueryRequest, type QueryResponse } from './query-child.ts'

export interface QueryLimits {
  /** from when it is asked to its answer, ms */
  readonly timeMs: number
  /** that wait for the one before them */
  readonly waitingMax: number
}

const LIMITS: QueryLimits = { timeMs: 5_000, waitingMax: 256 }

const TIMED_OUT: QueryResponse = {
  kind: 'refused',
  code: 'QUERY_TIMEOUT',
  detail: 'the query took too long, and was ended',
}
const OVERLOADED: QueryResponse = {
  kind: 'refused',
  code: 'OVERLOADED',
  detail: 'too many queries wait already',
}
const FAILED: QueryResponse = {
  kind: 'refused',
  code: 'QUERY_FAILED',
  detail: 'the process that reads ended',
}

interface Asked {
  readonly request: QueryRequest
  readonly settle: (response: QueryResponse) => void
}

/** Reads one database file from a process of its own, one query after the other; the next one starts anew after one that was ended. */
export class QueryProcess {
  readonly #file: string
  readonly #limits: QueryLimits
  #child: ChildProcess | null = null
  /** the first of them is under way */
  #asked: Asked[] = []

  constructor(file: string, limits: Partial<QueryLimits> = {}) {
    this.#file = file
    this.#limits = { ...LIMITS, ...limits }
  }

  /** Never rejects. Sees at least what was committed to the file before the call. */
  ask(request: QueryRequest): Promise<QueryResponse> {
    if (this.#asked.length >= this.#limits.waitingMax) return Promise.resolve(OVERLOADED)
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#giveUp(asked), this.#limits.timeMs)
      const settle = (response: QueryResponse): void => {
        clearTimeout(timer)
        resolve(response)
      }
      const asked: Asked = { request, settle }
      if (this.#asked.push(asked) === 1) this.#next()
    })
  }

  /** Ends the process; what is asked is answered as failed. The next query starts another, on the file that is there then. */
  async close(): Promise<void> {
    const child = this.#child
    this.#child = null
    for (const { settle } of this.#asked.splice(0)) settle(FAILED)
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  #next(): void {
    const [first] = this.#asked
    if (first === undefined) return
    this.#child ??= this.#start()
    this.#child.send(first.request)
  }

  #start(): ChildProcess {
    const driver = createRequire(import.meta.url).resolve('better-sqlite3')
    const child = spawn(process.execPath, ['-e', QUERY_CHILD, '--', driver, this.#file], {
      // Nothing of this environment: loaders of this process would load there too.
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
    })
    child.on('message', response => this.#answered(child, response as QueryResponse))
    child.on('exit', () => this.#answered(child, FAILED))
    child.on('error', () => this.#answered(child, FAILED))
    return child
  }

  #answered(child: ChildProcess, response: QueryResponse): void {
    if (child !== this.#child) return
    if (response === FAILED) this.#child = null
    this.#asked.shift()?.settle(response)
    this.#next()
  }

  /** One that waits only goes; for the one under way its process must go. */
  #giveUp(asked: Asked): void {
    const place = this.#asked.indexOf(asked)
    if (place === -1) return
    this.#asked.splice(place, 1)
    asked.settle(TIMED_OUT)
    if (place > 0) return
    this.#child?.kill('SIGKILL')
    this.#child = null
    this.#next()
  }
}
