import { setTimeout as sleep } from 'node:timers/promises'
import type { StructureReport } from '../http/structure-view.ts'
import type { Tree } from '../structure/companion.ts'
import type { Agent } from '../structure/follow.ts'
import { Client, refusal } from './client.ts'
import type { Answer, Endpoint } from './endpoint.ts'

/** A row of `GET /v1/kv/<prefix>?recurse`. */
interface Row {
  readonly Key: string
  readonly Value: string | null
  readonly ModifyIndex: number
}

export interface LocalAgentOptions {
  readonly endpoint: Endpoint
  readonly signal: AbortSignal
}

/** An agent waits up to a sixteenth longer than it was asked to, and for its leader before. */
const EXTRA_MS = 10_000
const REPORT_MS = 3_000
const AGREE_MS = 2_000

/** The agent beside this nginx, over HTTP. */
export class LocalAgent implements Agent {
  readonly #options: LocalAgentOptions
  #prefix: string | null = null
  #last: StructureReport | null = null
  #queue: Promise<void> = Promise.resolve()
  /** why the agent does not agree */
  #refusal = ''
  #agree = (): void => {}
  /** The agent has said which keys are nginx's configuration, or the signal has come. */
  readonly agreed: Promise<void>

  constructor(options: LocalAgentOptions) {
    this.#options = options
    this.agreed = new Promise(resolve => {
      this.#agree = resolve
      options.signal.addEventListener('abort', () => resolve())
    })
  }

  /** What the keys begin with. */
  get prefix(): string {
    return this.#prefix ?? ''
  }

  async tree(after: number | null, waitMs: number): Promise<Tree> {
    if (this.#prefix === null) {
      await sleep(AGREE_MS, undefined, { signal: this.#options.signal }).catch(() => {})
      throw new Error(this.#refusal)
    }
    const block = after === null || waitMs <= 0 ? '' : `&index=${after}&wait=${Math.ceil(waitMs)}ms`
    const { endpoint, signal } = this.#options
    const client = new Client({ endpoints: [endpoint], timeoutMs: waitMs * 1.1 + EXTRA_MS })
    const tree = await readTree(client, this.#prefix, { block, signal })
    // Were its token not good for all of these keys any more, it would not have been shown all of them.
    if (this.#last !== null) await this.report(this.#last)
    return tree
  }

  report(report: StructureReport): Promise<void> {
    this.#last = report
    // One at a time, and each the newest: an older one must not arrive last.
    const sent = this.#queue.then(() => this.#send(this.#last ?? report))
    this.#queue = sent.catch(() => {})
    return sent
  }

  async #send(report: StructureReport): Promise<void> {
    const { endpoint, signal } = this.#options
    const client = new Client({ endpoints: [endpoint], timeoutMs: REPORT_MS })
    const answer = await client.send({
      method: 'PUT',
      path: '/v1/cluster/structure',
      headers: { 'Content-Type': 'application/json' },
      body: Buffer.from(JSON.stringify(report)),
      repeatable: true,
      signal,
    })
    if (answer.status !== 200) {
      this.#prefix = null
      const error = refusal(answer)
      this.#refusal = error.message
      throw error
    }
    this.#prefix = (JSON.parse(answer.body.toString('utf8')) as { prefix: string }).prefix
    this.#agree()
  }
}

/** A key as it is, with what a precondition needs. */
export interface KeptRow {
  readonly key: string
  readonly value: Buffer
  readonly modifyIndex: number
}

/** All that is below the prefix, and the index by which a change of it is known. @throws CommandError */
export async function readTree(
  client: Client,
  prefix: string,
  { block = '', signal }: { readonly block?: string; readonly signal?: AbortSignal } = {},
): Promise<{ readonly index: number; readonly rows: readonly KeptRow[] }> {
  const path = `/v1/kv/${encodeURIComponent(prefix)}?recurse${block}`
  const answer = await client.send({
    method: 'GET',
    path,
    repeatable: true,
    ...(signal && { signal }),
  })
  if (answer.status !== 200 && answer.status !== 404) throw refusal(answer)
  const rows = answer.status === 404 ? [] : (JSON.parse(answer.body.toString('utf8')) as Row[])
  return {
    index: indexOf(answer),
    rows: rows.map(({ Key, Value, ModifyIndex }) => ({
      key: Key,
      value: Buffer.from(Value ?? '', 'base64'),
      modifyIndex: ModifyIndex,
    })),
  }
}

function indexOf({ headers }: Answer): number {
  const index = Number(headers['x-consul-index'])
  if (!Number.isSafeInteger(index)) throw new Error('the answer has no X-Consul-Index')
  return index
}
