/** A fleet whose nginx reads its own memory, and the agent's filler of it over a store that the test writes. */

import path from 'node:path'
import { SystemClock } from '../../../agent/src/clock/system-clock.ts'
import { EdgeClient } from '../../../agent/src/gateway/edge-client.ts'
import { EdgeFiller } from '../../../agent/src/gateway/edge-filler.ts'
import type { Opening } from '../../../agent/src/gateway/edge-open.ts'
import type { EdgeSource, EntryChange } from '../../../agent/src/gateway/edge-source.ts'
import type { KvRow, ListedRow } from '../../../agent/src/machine/kv/row.ts'
import { type Fleet, Nginx, type Owner, startFleet, until } from './fleet.ts'
import { type RawAnswer, request, send } from './raw-client.ts'

const PAGE_KEYS = 300
/** Entries that can still be told. */
const KEPT_MAX = 4_000

/** A store that applies one entry after another, as a node does. */
export class Store implements EdgeSource {
  readonly rows = new Map<string, KvRow>()
  /** how old what it has applied can be; null: it has never heard of a leader */
  age: number | null = 0
  /** entries that it still can tell */
  kept: EntryChange[] = []
  #last = 0
  #since = 0
  #listeners = new Set<() => void>()

  opening: Opening = { version: 0, open: null }

  open(): Opening {
    return this.opening
  }

  since(): number {
    return this.#since
  }

  last(): number {
    return this.#last
  }

  read(after: number): readonly EntryChange[] | null {
    return after < this.#since ? null : this.kept.filter(entry => entry.index > after)
  }

  listen(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => this.#listeners.delete(changed)
  }

  async page(after: Uint8Array | null): Promise<readonly ListedRow[]> {
    const past = after === null ? '' : Buffer.from(after).toString('latin1')
    const keys = [...this.rows.keys()].filter(key => key > past || after === null).sort()
    const page = keys.slice(0, PAGE_KEYS)
    return page.flatMap(key => {
      const row = this.rows.get(key)
      return row === undefined ? [] : [{ key: Buffer.from(key, 'latin1'), ...row }]
    })
  }

  serves(): boolean {
    return true
  }

  stalenessMs(): number | null {
    return this.age
  }

  /** One entry. A key or value that is a string stands for its UTF-8; null deletes. */
  write(...pairs: readonly (readonly [string | Uint8Array, string | Uint8Array | null])[]): number {
    this.#last += 1
    const changes = pairs.map(([given, text]) => {
      const key = bytes(given)
      const name = Buffer.from(key).toString('latin1')
      const row = text === null ? null : this.#row(name, bytes(text))
      if (row === null) this.rows.delete(name)
      else this.rows.set(name, row)
      return { key, value: row?.value ?? null, row }
    })
    this.kept.push({ index: this.#last, changes })
    if (this.kept.length > KEPT_MAX) {
      const dropped = this.kept.splice(0, KEPT_MAX / 2)
      this.#since = dropped.at(-1)?.index ?? this.#since
    }
    for (const listener of this.#listeners) listener()
    return this.#last
  }

  #row(name: string, value: Uint8Array): KvRow {
    const createIndex = this.rows.get(name)?.createIndex ?? this.#last
    const indexes = { createIndex, modifyIndex: this.#last, lockIndex: 0 }
    return { value, ...indexes, flags: 0n, session: '', contentType: '' }
  }

  /** Nobody can follow any more: as after a restart, or when a snapshot was installed. */
  forget(): void {
    this.kept = []
    this.#since = this.#last
  }
}

function bytes(given: string | Uint8Array): Uint8Array {
  // an empty string is a value too
  return typeof given === 'string' ? Buffer.from(given, 'utf8') : given
}

export interface EdgeFleet extends Fleet {
  readonly socket: string
  readonly store: Store
  /** the agent's; another after `restartAgent` */
  filler(): EdgeFiller
  client(): EdgeClient
  restartAgent(epoch?: string): Promise<void>
  /** the nginx that was started last */
  running(): Nginx
  /** stops the master, by this signal, and starts another on the same files */
  restartNginx(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** what nginx answers to `GET /key/<k>?stale` */
  read(key: string, query?: string, ...headers: string[]): Promise<RawAnswer>
  /** until nginx's memory has all that the store has */
  settled(): Promise<void>
}

export const EPOCH = '1 the-only-history'
export const TIMEOUT_MS = 1_000

/** @param args added to the renderer's command line */
export async function startEdgeFleet(t: Owner, ...args: string[]): Promise<EdgeFleet> {
  const fleet = await startFleet(t, '--edge-reads', '4m', '--workers', '2', ...args)
  const socket = path.join(fleet.nginx.prefix, 'run/edge.sock')
  const store = new Store()
  let client = new EdgeClient(socket, TIMEOUT_MS)
  let filler = fillerOf(store, client)
  filler.start()
  const end = async () => {
    await filler.stop()
    client.close()
  }
  t.teardown(end)
  const restartAgent = async (epoch?: string) => {
    await end()
    client = new EdgeClient(socket, TIMEOUT_MS)
    filler = fillerOf(store, client, epoch)
    filler.start()
  }
  const read = (key: string, query = 'stale', ...headers: string[]) =>
    send(fleet.port, request('GET', `/key/${key}?${query}`, ...headers))
  const settled = () =>
    until('nginx has it', () => {
      const { state, index } = filler.status()
      return state === 'following' && index === store.last()
    })
  let nginx = fleet.nginx
  const restartNginx = async (signal: 'SIGTERM' | 'SIGKILL') => {
    await nginx.stop(signal)
    // as whoever starts an nginx does: it clears what a killed one has left
    if ((await fleet.render()) !== 0) throw new Error('the rendered configuration was refused')
    nginx = await Nginx.start(nginx.prefix, fleet.port)
    const started = nginx
    t.teardown(() => started.stop())
  }
  await settled()
  return {
    ...fleet,
    running: () => nginx,
    restartNginx,
    socket,
    store,
    filler: () => filler,
    client: () => client,
    restartAgent,
    read,
    settled,
  }
}

function fillerOf(store: Store, client: EdgeClient, epoch = EPOCH): EdgeFiller {
  return new EdgeFiller({
    sender: { epoch, node: 'node0', only: [] },
    source: store,
    post: body => client.post(body),
    clock: new SystemClock(),
    logger: { info() {}, warn() {}, error() {} },
    fullRetryMs: 300,
  })
}

export function servedBy(answer: RawAnswer): string | undefined {
  return answer.headers.get('x-raft-served-by')
}
