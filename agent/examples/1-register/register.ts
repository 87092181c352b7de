/** One value, which anybody may replace: the smallest machine there is. */

import { Hono } from 'hono'
import type { MemoryMachine } from 'raft-nginx/machine'

export function createMachine(): MemoryMachine {
  let value = new Uint8Array(0)
  return {
    name: 'register',
    apply(command) {
      value = command.slice() // the buffer of a command is lent
      return undefined
    },
    query: () => value,
    snapshot: () => value,
    restore(state) {
      value = state.slice()
    },
    routes: host =>
      new Hono()
        .get('/', async c => c.body(await host.query(c.req.raw, new Uint8Array(0))))
        .put('/', async c => c.body(await host.propose(c.req.raw, await bodyOf(c.req.raw)))),
  }
}

async function bodyOf(request: Request): Promise<Uint8Array> {
  return new Uint8Array(await request.arrayBuffer())
}

/** For `npm run test-machine`. */
export const samples = ['', 'first', 'second'].map(text => new TextEncoder().encode(text))
