/** A bank: money moves between accounts in transactions, and every look at all of them shows the same sum. */

import { Actor, type Row, rowsOf, type Scene, textIn } from './clients.ts'

const ACCOUNTS = 5
const MONEY = 100
const CLIENTS = 2
const PAUSE_MS = 130
const PREFIX = 'bank/'
const PATIENCE_MS = 30_000
/** Of a hundred. */
const READS = 30

export class Bank {
  readonly #scene: Scene

  constructor(scene: Scene) {
    this.#scene = scene
  }

  /** Before anything goes wrong. */
  async open(): Promise<void> {
    const actor = new Actor(this.#scene, 'bank', 0)
    const pairs = Array.from({ length: ACCOUNTS }, (_, at) => [`${PREFIX}${at}`, String(MONEY)])
    const body = JSON.stringify(Object.fromEntries(pairs))
    const reply = await actor.once({ method: 'POST', path: '/key', body }, PATIENCE_MS)
    if (reply?.status !== 200) throw new Error(`the bank is not opened: ${reply?.body}`)
  }

  start(): Promise<void>[] {
    return Array.from({ length: CLIENTS }, (_, at) => {
      const actor = new Actor(this.#scene, `teller${at}`, PAUSE_MS)
      return actor.repeat(() => this.#act(actor))
    })
  }

  /** @param rows what somebody was shown, of the bank */
  check(who: string, rows: readonly Row[]): void {
    const sum = rows.reduce((all, row) => all + Number(textIn(row)), 0)
    if (rows.length === ACCOUNTS && sum === ACCOUNTS * MONEY) return
    const told = rows.map(row => `${row.Key}=${textIn(row)}`).join(' ')
    this.#scene.ledger.violation(
      `${who}: ${sum} in the bank instead of ${ACCOUNTS * MONEY}: ${told}`,
    )
  }

  async #act(actor: Actor): Promise<void> {
    const reply = await actor.read(`/v1/kv/${PREFIX}?recurse`)
    if (reply.conclusion !== 'sure') return
    const rows = rowsOf(reply)
    this.check('a client', rows)
    if (actor.chance.within(0, 99) < READS) return
    const from = actor.chance.oneOf(rows)
    const to = actor.chance.oneOf(rows.filter(row => row !== from))
    const amount = Math.min(actor.chance.within(1, 20), Number(textIn(from)))
    const body = JSON.stringify([moved(from, -amount), moved(to, amount)])
    const done = await actor.write({ method: 'PUT', path: '/v1/txn', body })
    if (done.conclusion === 'sure' && done.status !== 200 && done.status !== 409) {
      actor.ledger.violation(`a transfer was answered ${done.status}: ${done.body.slice(0, 200)}`)
    }
  }
}

function moved(row: Row, amount: number) {
  const Value = Buffer.from(String(Number(textIn(row)) + amount)).toString('base64')
  return { KV: { Verb: 'cas', Key: row.Key, Value, Index: row.ModifyIndex } }
}
