import { randomUUID } from 'node:crypto'
import type { TreeRow } from '../structure/layout.ts'
import { type Client, refusal } from './client.ts'
import { failed } from './exit.ts'
import type { KeptRow } from './structure-agent.ts'

export interface Change {
  readonly kind: 'set' | 'delete'
  readonly key: string
  readonly value: Buffer
  /** what the key has to be at; 0: there must be none */
  readonly index: number
}

/** As many as one transaction takes. */
const OPERATIONS_MAX = 128

/** What makes `before` into `wanted`. */
export function changesOf(
  wanted: readonly TreeRow[],
  before: readonly KeptRow[],
  deletes: boolean,
): Change[] {
  const there = new Map(before.map(row => [row.key, row]))
  const names = new Set(wanted.map(({ key }) => key))
  const set = wanted.flatMap(({ key, value }): Change[] => {
    const old = there.get(key)
    if (old?.value.equals(value)) return []
    return [{ kind: 'set', key, value, index: old?.modifyIndex ?? 0 }]
  })
  const gone = before.flatMap(({ key, modifyIndex }): Change[] =>
    names.has(key) || !deletes
      ? []
      : [{ kind: 'delete', key, value: Buffer.alloc(0), index: modifyIndex }],
  )
  return [...set, ...gone]
}

/**
 * All of them, or none: each only where its key is as it was read.
 * @throws CommandError when somebody else has changed one of them, or there are too many
 */
export async function push(client: Client, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return
  if (changes.length > OPERATIONS_MAX) {
    const advice = `push a part of them first: no node takes half of a transaction, so two of them are two states`
    throw failed(
      `${changes.length} changes: a transaction has at most ${OPERATIONS_MAX}; ${advice}`,
    )
  }
  const operations = changes.map(({ kind, key, value, index }) => ({
    KV: {
      Verb: kind === 'set' ? 'cas' : 'delete-cas',
      Key: key,
      Index: index,
      ...(kind === 'set' && { Value: value.toString('base64') }),
    },
  }))
  const answer = await client.send({
    method: 'PUT',
    path: '/v1/txn',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': randomUUID() },
    body: Buffer.from(JSON.stringify(operations)),
    repeatable: true,
  })
  if (answer.status === 409) {
    throw failed('somebody else has changed these keys just now: nothing happened, push again')
  }
  if (answer.status === 413) {
    throw failed('too much for one transaction (limits.body_bytes_max): push a part of it first')
  }
  if (answer.status !== 200) throw refusal(answer)
}
