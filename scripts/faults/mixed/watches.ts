/** Clients that watch, and go from gateway to gateway: each change once, in order, none missing, the same for all. */

import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Chance } from '../../../agent/test/simulation/chance.ts'
import type { Scene } from './clients.ts'
import type { Acknowledged } from './record.ts'

/** Each with the prefix that it watches. */
const PREFIXES: readonly string[] = ['', '', 'set/']
/** How long one stays at a gateway, ms. */
const STAY_MS = { min: 1_500, max: 12_000 }
/** Without a byte for so long it goes on elsewhere; a bookmark comes every 10 s. */
const SILENCE_MS = 15_000
const RETRY_MS = 200

/** A part of the log that a watcher was told all of, without a gap: what follows `after`, up to `to`. */
export interface Stretch {
  readonly after: number
  to: number
}

/** One who watches. */
export interface Watcher {
  readonly name: string
  readonly prefix: string
  readonly stretches: Stretch[]
  /** the one that goes on; null where it has to begin anew */
  stretch: Stretch | null
  /** by index, what changed, as text */
  readonly seen: Map<number, string>
}

/** One `set` or `delete`. */
interface Change {
  readonly op: string
  readonly key: string
  readonly value?: string
}

/** @returns what is wrong: something that one was told and another not, or otherwise, and acknowledged writes that are missing */
export function judgeWatches(
  watchers: readonly Watcher[],
  acknowledged: readonly Acknowledged[],
): string[] {
  const pairs = watchers.flatMap(one =>
    watchers.filter(other => other !== one).map(other => [one, other] as const),
  )
  return [
    ...pairs.flatMap(([one, other]) => differences(one, other)),
    ...watchers.flatMap(watcher => missing(watcher, acknowledged)),
  ]
}

/** What one was told and another should have been. */
function differences(one: Watcher, other: Watcher): string[] {
  return [...one.seen].flatMap(([index, text]) => {
    if (!covers(other, index)) return []
    const wanted = below(text, other.prefix)
    const told = below(other.seen.get(index) ?? '', one.prefix)
    if (told === wanted) return []
    return [`entry ${index}: ${one.name} was told "${wanted}", ${other.name} "${told}"`]
  })
}

function missing(watcher: Watcher, acknowledged: readonly Acknowledged[]): string[] {
  return acknowledged.flatMap(({ index, key, value }) => {
    if (!key.startsWith(watcher.prefix) || !covers(watcher, index)) return []
    const lines = (watcher.seen.get(index) ?? '').split('\n')
    if (lines.includes(`set ${key} ${value}`)) return []
    return [`${watcher.name} was not told that ${key} was set to ${value} by entry ${index}`]
  })
}

function covers({ stretches }: Watcher, index: number): boolean {
  return stretches.some(({ after, to }) => after < index && index <= to)
}

/** Lines of those changes. */
function below(text: string, prefix: string): string {
  const lines = text.split('\n').filter(line => line.split(' ')[1]?.startsWith(prefix))
  return lines.join('\n')
}

export class Watches {
  readonly #scene: Scene
  readonly #watchers: Watcher[] = PREFIXES.map((prefix, at) => {
    const seen = new Map<number, string>()
    return { name: `watcher${at}`, prefix, stretches: [], stretch: null, seen }
  })
  readonly #open = new Set<http.ClientRequest>()

  constructor(scene: Scene) {
    this.#scene = scene
  }

  start(): Promise<void>[] {
    return this.#watchers.map(watcher => this.#run(watcher))
  }

  /** Streams that are under way end. */
  close(): void {
    for (const request of this.#open) request.destroy()
  }

  check(): void {
    const { ledger } = this.#scene
    const wrong = judgeWatches(this.#watchers, ledger.acknowledged)
    for (const text of wrong) ledger.violation(text)
  }

  get events(): number {
    return this.#watchers.reduce((sum, { seen }) => sum + seen.size, 0)
  }

  async #run(watcher: Watcher): Promise<void> {
    const chance = new Chance(this.#scene.seed, watcher.name)
    while (!this.#scene.isOver()) {
      const url = chance.oneOf(this.#scene.gateways())
      const stay = chance.within(STAY_MS.min, STAY_MS.max)
      const status = await this.#stay(watcher, url, stay)
      // What it asks for is not kept any more: it begins anew, from now on.
      if (status === 410) watcher.stretch = null
      if (status !== 200) await sleep(RETRY_MS)
    }
  }

  /** @returns the status; 0 when nobody answered */
  #stay(watcher: Watcher, url: string, ms: number): Promise<number> {
    const since = watcher.stretch === null ? '' : `&since=${watcher.stretch.to}`
    const prefix = encodeURIComponent(watcher.prefix)
    return new Promise(resolve => {
      let status = 0
      const request = http.get(`${url}/v1/watch?prefix=${prefix}${since}`, { agent: false })
      this.#open.add(request)
      const end = () => {
        clearTimeout(timer)
        this.#open.delete(request)
        request.destroy()
        resolve(status)
      }
      const timer = setTimeout(end, ms)
      request.setTimeout(Math.min(ms, SILENCE_MS), end)
      request.on('error', end)
      request.on('close', end)
      request.on('response', response => {
        status = response.statusCode ?? 0
        if (status !== 200) {
          end()
          return
        }
        const parts = new EventParts((name, id, data) => this.#told(watcher, name, id, data))
        response.setEncoding('utf8')
        response.on('data', (text: string) => parts.push(text))
        response.on('error', end)
        response.on('end', end)
      })
    })
  }

  #told(watcher: Watcher, name: string, id: number | null, data: string): void {
    const { ledger } = this.#scene
    if (id === null) return
    const { stretch } = watcher
    if (stretch === null) {
      // The first is a bookmark: from there on it is told all.
      if (name !== 'bookmark') ledger.violation(`${watcher.name} was told ${id} before a bookmark`)
      watcher.stretch = { after: id, to: id }
      watcher.stretches.push(watcher.stretch)
      return
    }
    const goesBack = name === 'change' ? id <= stretch.to : id < stretch.to
    if (goesBack) {
      ledger.violation(`${watcher.name} was told of ${name} ${id} after ${stretch.to}`)
      return
    }
    stretch.to = id
    if (name !== 'change') return
    const { index, changes } = JSON.parse(data) as { index: number; changes: readonly Change[] }
    if (index !== id) ledger.violation(`${watcher.name}: an event ${id} says ${index}`)
    const strangers = changes.filter(({ key }) => !key.startsWith(watcher.prefix))
    if (strangers.length > 0) ledger.violation(`${watcher.name} was told of ${strangers[0]?.key}`)
    watcher.seen.set(id, changes.map(textOf).join('\n'))
  }
}

function textOf({ op, key, value }: Change): string {
  if (op === 'delete') return `delete ${key}`
  return `set ${key} ${Buffer.from(value ?? '', 'base64').toString()}`
}

/** Server-Sent Events out of the pieces that they come in. */
class EventParts {
  readonly #onEvent: (name: string, id: number | null, data: string) => void
  #rest = ''

  constructor(onEvent: (name: string, id: number | null, data: string) => void) {
    this.#onEvent = onEvent
  }

  push(text: string): void {
    const events = (this.#rest + text).split('\n\n')
    this.#rest = events.pop() ?? ''
    for (const event of events) {
      const fields = new Map<string, string>()
      for (const line of event.split('\n')) {
        const at = line.indexOf(': ')
        if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2))
      }
      const id = fields.get('id')
      this.#onEvent(fields.get('event') ?? '', id ? Number(id) : null, fields.get('data') ?? '')
    }
  }
}
