import { join } from 'node:path'
import fc from 'fast-check'
import { DecodeError } from '../../src/lib/bytes.ts'
import { decodeCommand, encodeCommand } from '../../src/machine/kv/command.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { KvAnswer, KvQuery } from '../../src/machine/kv/query.ts'
import type { CommittedEntry, Result } from '../../src/machine/state-machine.ts'
import type { Model, Subject } from './state-machine.contract.ts'

/** Few, so that commands meet; nasty, so that nothing takes them for text. */
const KEYS = ['', '00', '0000', 'ff', 'c328', '6b', '6b00', '6b6579', 'f09f92a9', 'ed'.repeat(512)]
const UNDECODABLE = Uint8Array.of(1, 2, 255)

const key = fc.constantFrom(...KEYS).map(hex => bytes(hex))
const pair = fc.record({ key, value: fc.uint8Array({ maxLength: 20 }) })

export const kvCommands = fc.oneof(
  { weight: 6, arbitrary: fc.array(pair, { maxLength: 4 }).map(set) },
  { weight: 3, arbitrary: key.map(key => encodeCommand({ kind: 'delete', key })) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }) },
)

export function bytes(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

export function text(value: string): Uint8Array {
  return Buffer.from(value)
}

export function set(pairs: readonly { key: Uint8Array; value: Uint8Array }[]): Uint8Array {
  return encodeCommand({ kind: 'set', pairs })
}

export function setText(key: string, value: string): Uint8Array {
  return set([{ key: text(key), value: text(value) }])
}

interface Row {
  readonly value: string
  readonly createIndex: number
  readonly modifyIndex: number
}

class KvModel implements Model {
  readonly #rows = new Map<string, Row>()

  apply({ position, command }: CommittedEntry): Result {
    if (command === null) return { kind: 'done', value: null }
    try {
      const decoded = decodeCommand(command)
      if (decoded.kind === 'delete') this.#rows.delete(hex(decoded.key))
      else
        for (const { key, value } of decoded.pairs) this.#set(hex(key), hex(value), position.index)
      return { kind: 'done', value: null }
    } catch (error) {
      if (error instanceof DecodeError) return { kind: 'rejected', code: 'UNDECODABLE' }
      throw error
    }
  }

  dump(): unknown {
    return KEYS.map(key => this.#rows.get(key) ?? null)
  }

  #set(key: string, value: string, modifyIndex: number): void {
    const createIndex = this.#rows.get(key)?.createIndex ?? modifyIndex
    this.#rows.set(key, { value, createIndex, modifyIndex })
  }
}

export function kvSubject(where: 'file' | 'memory'): Subject<KvQuery, KvAnswer> {
  return {
    name: `KvMachine, ${where}`,
    durable: where === 'file',
    create: directory =>
      new KvMachine({ file: where === 'file' ? join(directory, 'kv.db') : null }),
    model: () => new KvModel(),
    dump: async machine => {
      const rows: (Row | null)[] = []
      for (const key of KEYS) {
        const { row } = await machine.query({ kind: 'get', key: bytes(key) })
        rows.push(row && { ...row, value: hex(row.value) })
      }
      return rows
    },
    commands: kvCommands,
    visible: set([{ key: bytes('6b'), value: text('seen') }]),
    refused: UNDECODABLE,
  }
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex')
}
