import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { refusal } from './client.ts'
import { ask, type Endpoint, open } from './endpoint.ts'
import { CommandError, EXIT, failed } from './exit.ts'

/** A copy that a node is sending. */
export interface Incoming {
  readonly endpoint: string
  readonly node: string
  readonly index: number
  readonly term: number
  readonly bytes: number
  /** in hexadecimal */
  readonly sha256: string
  readonly body: IncomingMessage
}

interface Wanted {
  readonly endpoints: readonly Endpoint[]
  /** shows every write that was answered before */
  readonly consistent: boolean
  readonly signal: AbortSignal
}

/** Who does not answer a small question so long is passed over, ms. */
const GLANCE_MS = 3_000
/** A copy is made before its head is sent, and large ones take their time; but not so long without a word, ms. */
const HEAD_MS = 600_000
const STALL_MS = 60_000

/**
 * Has the first endpoint that can send a backup begin.
 * @throws CommandError when one refuses it, or with exit status 3 when none can now
 */
export async function beginBackup({ endpoints, consistent, signal }: Wanted): Promise<Incoming> {
  const path = `/v1/cluster/backup${consistent ? '?consistent' : ''}`
  const found: string[] = []
  for (const endpoint of endpoints) {
    try {
      await ask(endpoint, { method: 'GET', path: '/livez' }, GLANCE_MS)
      const given = AbortSignal.any([signal, AbortSignal.timeout(HEAD_MS)])
      const body = await open(endpoint, { method: 'GET', path }, given)
      const { statusCode: status = 0, headers } = body
      if (status === 200) return incomingOf(endpoint.name, body)
      const answer = { status, headers, body: await wholeOf(body) }
      if (![429, 502, 503, 504, 507].includes(status)) throw refusal(answer)
      found.push(`${endpoint.name}: ${refusal(answer).message}`)
    } catch (error) {
      if (error instanceof CommandError || signal.aborted) throw error
      found.push(`${endpoint.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  throw new CommandError(EXIT.unsettled, found.join('\n'), null)
}

/**
 * The bytes, which are as many as were promised, and those, once it has come to its end.
 * @throws CommandError otherwise
 */
export async function* verified({ body, bytes, sha256 }: Incoming): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let received = 0
  body.socket.setTimeout(STALL_MS, () => body.destroy())
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      hash.update(piece)
      received += piece.length
      yield piece
    }
  } catch (cause) {
    if (cause instanceof CommandError) throw cause
    throw failed(`the backup ended after ${received} of ${bytes} bytes`)
  }
  if (received !== bytes) throw failed(`the backup ended after ${received} of ${bytes} bytes`)
  if (hash.digest('hex') !== sha256)
    throw failed('the backup was changed on its way: its digest differs')
}

function incomingOf(endpoint: string, body: IncomingMessage): Incoming {
  const { headers } = body
  const digest = /^sha-256=:([A-Za-z0-9+/=]{44}):$/.exec(String(headers['repr-digest']))?.[1]
  if (digest === undefined) {
    body.destroy()
    throw failed(`${endpoint}: that is no agent's backup: it has no digest`)
  }
  return {
    endpoint,
    node: String(headers['x-raft-node']),
    index: Number(headers['x-raft-index']),
    term: Number(headers['x-raft-term']),
    bytes: Number(headers['content-length']),
    sha256: Buffer.from(digest, 'base64').toString('hex'),
    body,
  }
}

async function wholeOf(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces)
}
