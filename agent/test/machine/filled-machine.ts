import { createHash } from 'node:crypto'
import { Prng } from '../../src/lib/prng.ts'
import { encodeCommand, type KvCommand } from '../../src/machine/kv/command.ts'
import type { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { operation } from '../../src/machine/kv/operation.ts'
import type { CommittedEntry } from '../../src/machine/state-machine.ts'
import { entry } from './entries.ts'
import { text } from './kv-subject.ts'

const ABSENT = 50
const LONG_VALUE = 'y'.repeat(9000)

/** Entries that fill every table of keys: values of all sizes, answers, locks, sessions, delays, deletions. */
export function fillingEntries(keys: number, seed: number): CommittedEntry[] {
  const prng = new Prng(seed)
  const commands: KvCommand[] = []
  const name = (at: number) => text(`service/${at % 7}/key-${at}`)
  for (let at = 0; at < keys; at++) {
    const value = at % 97 === 0 ? LONG_VALUE : `value ${at} ${'x'.repeat(prng.between(0, 120))}`
    commands.push({ kind: 'set', pairs: [{ key: name(at), value: text(value) }] })
    if (at % 5 === 0) commands.push({ kind: 'delete', key: name(prng.between(0, at)) })
    if (at % 50 === 0) commands.push(...session(at, name(at)))
  }
  return commands.map((command, at) => {
    const bytes = encodeCommand(command)
    const requestHash = createHash('sha256').update(bytes).digest()
    const idempotency = at % 3 === 0 ? { key: `request-${at}`, requestHash } : null
    return { ...entry(at + 1, 1, bytes), idempotency }
  })
}

/** One that holds a lock of each kind, or has just ended and left a delay. */
function session(at: number, key: Uint8Array): KvCommand[] {
  const id = `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`
  const common = { id, name: `session ${at}`, node: 'node0', ttlMs: 10_000, lockDelayMs: 1_000 }
  const locked = operation('lock', key, {
    value: text('held'),
    session: id,
    flags: 2n ** 40n,
    ttlMs: 5_000,
    contentType: 'text/plain',
  })
  const made: KvCommand[] = [
    { kind: 'create-session', session: { ...common, behavior: 'release' } },
    { kind: 'transaction', operations: [locked] },
  ]
  return at % 100 === 0 ? made : [...made, { kind: 'destroy-session', id }]
}

/** All that can be asked: every key, the ranges, keys that are not there, sessions, deletions, and how far it is. */
export function everythingOf(machine: KvMachine, keys: number): string {
  const hash = createHash('sha256')
  const add = (value: unknown) => hash.update(JSON.stringify(value, plain))
  const ask = (query: Parameters<KvMachine['query']>[0]) => add(machine.query(query))
  add(machine.applied())
  for (let at = 0; at < keys + ABSENT; at++) {
    const key = text(`service/${at % 7}/key-${at}`)
    ask({ kind: 'get', key })
    if (at % 40 === 0) ask({ kind: 'rows', scope: { kind: 'key', bytes: key } })
  }
  for (const prefix of ['', 'service/', 'service/3/', 'service/3/key-1', 'nothing']) {
    ask({ kind: 'rows', scope: { kind: 'prefix', bytes: text(prefix) } })
    ask({ kind: 'keys', prefix: text(prefix), separator: text('/') })
  }
  ask({ kind: 'sessions', id: null })
  ask({ kind: 'lifetimes' })
  ask({ kind: 'page', after: text('service/2'), bytesMax: 1_000_000 })
  return hash.digest('hex')
}

/** Whether it answers with a Buffer or a Uint8Array does not matter. */
function plain(this: Record<string, unknown>, name: string): unknown {
  const value = this[name]
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  return typeof value === 'bigint' ? String(value) : value
}
