/** Writers that go on whatever happens, and remember what was promised to them. */

import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, Client } from './client.ts'

/** After a refusal: a client that repeats at once would only keep the machine from electing. */
const PAUSE_MS = 20

export interface Load {
  /** key → value of each write that was answered 200 */
  readonly acknowledged: ReadonlyMap<string, string>
  /** keys of writes answered 503: they must never appear */
  readonly refused: ReadonlySet<string>
  /** status → how often; 0 stands for no answer */
  readonly statuses: ReadonlyMap<number, number>
  /** of the latest 200 of a write that was begun after `since`; null while there is none */
  firstAcknowledgedAfter(since: number): number | null
  stop(): Promise<void>
}

export interface LoadOptions {
  readonly urls: readonly string[]
  readonly writersPerUrl: number
  readonly prefix: string
}

export function startLoad({ urls, writersPerUrl, prefix }: LoadOptions): Load {
  const acknowledged = new Map<string, string>()
  const refused = new Set<string>()
  const statuses = new Map<number, number>()
  const times: { readonly begun: number; readonly answered: number }[] = []
  const state = { stopped: false }

  const note = (key: string, value: string, answer: Answer) => {
    const now = performance.now()
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    if (answer.status === 200) {
      acknowledged.set(key, value)
      times.push({ begun: now - answer.ms, answered: now })
    } else if (answer.status === 503) refused.add(key)
  }
  const writer = async (url: string, name: string) => {
    const client = new Client(url)
    for (let count = 0; !state.stopped; count++) {
      const key = `${prefix}-${name}-${count}`
      const value = `value of ${key}`
      const answer = await client.write({ [key]: value })
      note(key, value, answer)
      if (answer.status !== 200) await sleep(PAUSE_MS)
    }
    client.close()
  }
  const writers = urls.flatMap((url, at) =>
    Array.from({ length: writersPerUrl }, (_, number) => writer(url, `${at}.${number}`)),
  )
  return {
    acknowledged,
    refused,
    statuses,
    firstAcknowledgedAfter: since => {
      const after = times.filter(({ begun }) => begun >= since)
      return after.length === 0 ? null : Math.min(...after.map(({ answered }) => answered))
    },
    stop: async () => {
      state.stopped = true
      await Promise.all(writers)
    },
  }
}

/** `200: 1234, 503: 5` */
export function statusesText({ statuses }: Load): string {
  return [...statuses].map(([status, count]) => `${status}: ${count}`).join(', ')
}
