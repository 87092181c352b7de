/** A number that only grows: a command has an answer, and may take effect once only. */

import { Hono } from 'hono'
import type { MemoryMachine } from 'raft-nginx/machine'

export function createMachine(): MemoryMachine {
  let count = 0
  return {
    name: 'counter',
    apply(command, { reject }) {
      const by = decode(command)
      if (by === null) return reject('NOT_A_NUMBER')
      count += by
      return encode(count)
    },
    query: () => encode(count),
    snapshot: () => encode(count),
    restore(state) {
      count = decode(state) ?? 0
    },
    routes: host =>
      new Hono()
        .get('/', async c => c.text(text(await host.query(c.req.raw, encode(0)))))
        .post('/increment', async c => c.text(text(await host.propose(c.req.raw, encode(1))))),
  }
}

function encode(count: number): Uint8Array {
  return new TextEncoder().encode(String(count))
}

function decode(bytes: Uint8Array): number | null {
  return /^[0-9]{1,15}$/.test(text(bytes)) ? Number(text(bytes)) : null
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

/** For `npm run test-machine`. */
export const samples = ['1', '2', '40', 'many'].map(by => new TextEncoder().encode(by))
