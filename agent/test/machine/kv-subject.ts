import { join } from 'node:path'
import fc from 'fast-check'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import type { Expiry } from '../../src/machine/kv/expiry.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { operation, VERBS } from '../../src/machine/kv/operation.ts'
import type { KvAnswer, KvQuery } from '../../src/machine/kv/query.ts'
import type { StateMachine } from '../../src/machine/state-machine.ts'
import { hex, KvModel } from './kv-model.ts'
import type { Subject } from './state-machine.contract.ts'

/** Few, so that commands meet; nasty, so that nothing takes them for text. */
const KEYS = ['01', '0100', 'ff', 'c328', '6b', '6b00', '6b6579', 'f09f92a9', 'ed'.repeat(512)]
const EVERYTHING = { kind: 'prefix', bytes: new Uint8Array(0) } as const
type RowsAnswer = Extract<KvAnswer, { kind: 'rows' }>
type SessionsAnswer = Extract<KvAnswer, { kind: 'sessions' }>
type LifetimesAnswer = Extract<KvAnswer, { kind: 'lifetimes' }>
const UNDECODABLE = Uint8Array.of(1, 2, 255)

export const text = (value: string): Uint8Array => Buffer.from(value)

const key = fc.constantFrom(...KEYS).map(hex => bytes(hex))
const pair = fc.record({ key, value: fc.uint8Array({ maxLength: 20 }) })

const sessionId = fc.constantFrom('s1', 's2')
const session = fc.record({
  id: sessionId,
  name: fc.constantFrom('', 'Müller'),
  node: fc.constant('node0'),
  behavior: fc.constantFrom('release' as const, 'delete' as const),
  ttlMs: fc.constantFrom(0, 10_000),
  lockDelayMs: fc.constantFrom(0, 1_000),
})
/** Low enough to meet the indexes of the entries that are applied. */
const index = fc.nat(12)
const expiry = fc.oneof(
  fc.record({ what: fc.constant('session' as const), id: sessionId.map(text), index }),
  fc.record({ what: fc.constantFrom('key' as const, 'lock-delay' as const), id: key, index }),
)
const expire = (expiries: Expiry[]): Uint8Array => encodeCommand({ kind: 'expire', expiries })
const step = fc
  .record({
    verb: fc.constantFrom(...VERBS),
    key,
    value: fc.constantFrom(text(''), text('a'), text('b')),
    flags: fc.constantFrom(0n, 1n, 2n ** 64n - 1n),
    index,
    session: sessionId,
    ttlMs: fc.constantFrom(0, 0, 0, 1_000),
    contentType: fc.constantFrom('', '', 'text/plain; charset=utf-8'),
  })
  .map(({ verb, key, ...given }) => operation(verb, key, given))
/** The empty one is no key, only what all begin with. */
const ofAll = fc.constantFrom('get-tree' as const, 'delete-tree' as const)
const anyStep = fc.oneof(
  { weight: 20, arbitrary: step },
  { weight: 1, arbitrary: ofAll.map(verb => operation(verb, new Uint8Array(0))) },
)
const transaction = fc
  .oneof(fc.array(anyStep, { minLength: 1, maxLength: 1 }), fc.array(anyStep, { maxLength: 4 }))
  .map(operations => encodeCommand({ kind: 'transaction', operations }))

export const kvCommands = fc.oneof(
  { weight: 6, arbitrary: fc.array(pair, { maxLength: 4 }).map(set) },
  { weight: 3, arbitrary: key.map(key => encodeCommand({ kind: 'delete', key })) },
  { weight: 12, arbitrary: transaction },
  {
    weight: 3,
    arbitrary: session.map(session => encodeCommand({ kind: 'create-session', session })),
  },
  { weight: 1, arbitrary: sessionId.map(id => encodeCommand({ kind: 'renew-session', id })) },
  { weight: 2, arbitrary: sessionId.map(id => encodeCommand({ kind: 'destroy-session', id })) },
  { weight: 2, arbitrary: fc.array(expiry, { maxLength: 3 }).map(expire) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }) },
)

export function bytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

export function set(pairs: readonly { key: Uint8Array; value: Uint8Array }[]): Uint8Array {
  return encodeCommand({ kind: 'set', pairs })
}

export function setText(key: string, value: string): Uint8Array {
  return set([{ key: text(key), value: text(value) }])
}

export function kvSubject(where: 'file' | 'memory'): Subject<KvQuery, KvAnswer> {
  return {
    name: `KvMachine, ${where}`,
    durable: where === 'file',
    create: directory =>
      new KvMachine({ file: where === 'file' ? join(directory, 'kv.db') : null }),
    model: () => new KvModel(),
    dump: async machine => {
      const { rows } = (await ask(machine, { kind: 'rows', scope: EVERYTHING })) as RowsAnswer
      if (rows === null) throw new Error('too many rows to compare')
      const { sessions } = (await ask(machine, { kind: 'sessions', id: null })) as SessionsAnswer
      const { lifetimes } = (await ask(machine, { kind: 'lifetimes' })) as LifetimesAnswer
      const delays = lifetimes.filter(({ what }) => what === 'lock-delay')
      return {
        rows: rows.map(({ key, value, ...row }) => [hex(key), { ...row, value: hex(value) }]),
        sessions: sessions.map(session => [session.id, session]),
        delays: delays.map(({ id, index }) => [hex(id), index]).sort(),
      }
    },
    commands: kvCommands,
    visible: set([{ key: bytes('6b'), value: text('seen') }]),
    refused: UNDECODABLE,
  }
}

function ask(
  machine: StateMachine<KvQuery, KvAnswer>,
  query: KvQuery,
): KvAnswer | Promise<KvAnswer> {
  return machine.query(query)
}
