/** Counters that are read, compared and set, each attempt repeated under its key until it is answered: it counts once. */

import { Actor, rowsOf, type Scene, textIn } from './clients.ts'

const CLIENTS = 3
const PAUSE_MS = 150
const KEYS: readonly string[] = ['count/a', 'count/b']
/** For the last answers, once the run is over. */
const PATIENCE_MS = 60_000

export class Counters {
  static readonly keys = KEYS
  readonly #scene: Scene
  /** by counter: answered `true`, and given up */
  readonly #sums = new Map(KEYS.map(key => [key, { acknowledged: 0, unknown: 0 }]))

  constructor(scene: Scene) {
    this.#scene = scene
  }

  start(): Promise<void>[] {
    return Array.from({ length: CLIENTS }, (_, at) => {
      const actor = new Actor(this.#scene, `counter${at}`, PAUSE_MS)
      return actor.repeat(() => this.#increment(actor))
    })
  }

  /** @param show what a node has for a key in the end */
  check(node: string, show: (key: string) => string | null): void {
    for (const [key, { acknowledged, unknown }] of this.#sums) {
      const count = Number(show(key) ?? '0')
      if (count >= acknowledged && count <= acknowledged + unknown) continue
      const counted = `${acknowledged} acknowledged and ${unknown} unknown`
      this.#scene.ledger.violation(`${node} has ${key} = ${count} of ${counted}`)
    }
  }

  async #increment(actor: Actor): Promise<void> {
    const { ledger } = actor
    const key = actor.chance.oneOf(KEYS)
    const seen = await actor.read(`/v1/kv/${key}`)
    if (seen.conclusion !== 'sure') return
    const [row] = rowsOf(seen)
    const [expected, index] = row ? [textIn(row), row.ModifyIndex] : [null, 0]
    const value = String(Number(expected ?? '0') + 1)
    const cells = [{ value: expected, index: row ? index : null }]
    const { called, returned } = seen
    ledger.operations.push({
      ...{ action: { kind: 'get', keys: [key] }, called, returned },
      answer: { kind: 'seen', cells },
    })
    const begun = performance.now()
    const path = `/v1/kv/${key}?cas=${index}`
    const reply = await actor.once({ method: 'PUT', path, body: value }, PATIENCE_MS)
    const sum = this.#sums.get(key)
    const action = { kind: 'compare-and-set', key, expected, value } as const
    if (reply === null) {
      if (sum !== undefined) sum.unknown += 1
      ledger.operations.push({ action, called: begun, returned: null, answer: null })
      ledger.violation(`a request with an Idempotency-Key was never answered: ${path}`)
      return
    }
    const done = reply.body.trim() === 'true'
    if (done && sum !== undefined) sum.acknowledged += 1
    // A repeated answer need not name the entry of the first.
    const answer = done
      ? ({ kind: 'written', index: null } as const)
      : ({ kind: 'mismatch' } as const)
    ledger.operations.push({ action, called: begun, returned: reply.returned, answer })
  }
}
