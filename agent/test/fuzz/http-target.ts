import { connect, type TcpNetConnectOpts } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { serve } from '../http/harness.ts'
import type { Target } from './target.ts'

const HOST = 'Host: agent\r\n'
const REQUESTS: readonly string[] = [
  `GET /key/a HTTP/1.1\r\n${HOST}\r\n`,
  `GET /key/a?consistent HTTP/1.1\r\n${HOST}\r\n`,
  `GET /key/a%2Fb%20c HTTP/1.1\r\n${HOST}X-Raft-Min-Index: 1\r\n\r\n`,
  `POST /key HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\n{"a":"b"}`,
  `POST /key HTTP/1.1\r\n${HOST}Idempotency-Key: k\r\nContent-Length: 17\r\n\r\n{"a":"b","c":"d"}`,
  `POST /key HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n9\r\n{"a":"b"}\r\n0\r\n\r\n`,
  `DELETE /key/a HTTP/1.1\r\n${HOST}\r\n`,
  `GET /raft HTTP/1.1\r\n${HOST}\r\n`,
  `GET /status?brief=1 HTTP/1.1\r\n${HOST}\r\n`,
  `GET /readyz?noleader HTTP/1.1\r\n${HOST}\r\n`,
  `GET /metrics HTTP/1.1\r\n${HOST}\r\n`,
  `GET /v1/kv/a?recurse&stale HTTP/1.1\r\n${HOST}\r\n`,
  `GET /v1/kv/a?keys&separator=/ HTTP/1.1\r\n${HOST}If-None-Match: "1"\r\n\r\n`,
  `GET /v1/kv/a?index=1&wait=1ms HTTP/1.1\r\n${HOST}\r\n`,
  `PUT /v1/kv/a?cas=1&flags=7 HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nv`,
  `PUT /v1/kv/a?ttl=10s HTTP/1.1\r\n${HOST}If-Match: "3"\r\nContent-Length: 1\r\n\r\nv`,
  `DELETE /v1/kv/a?recurse HTTP/1.1\r\n${HOST}\r\n`,
  `PUT /v1/txn HTTP/1.1\r\n${HOST}Content-Length: 48\r\n\r\n[{"KV":{"Verb":"set","Key":"a","Value":"dg=="}}]`,
  `PUT /v1/session/create HTTP/1.1\r\n${HOST}Content-Length: 13\r\n\r\n{"TTL":"10s"}`,
  `GET /v1/session/list HTTP/1.1\r\n${HOST}\r\n`,
  `GET /v1/watch?prefix=a&since=0 HTTP/1.1\r\n${HOST}\r\n`,
  `GET /v1/cluster/members HTTP/1.1\r\n${HOST}\r\n`,
  `GET /openapi.json HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
]

export const HTTP_SEEDS: readonly Uint8Array[] = REQUESTS.map(text => Buffer.from(text))

export interface Server extends TcpNetConnectOpts {
  /** whether it may be told that nothing more will come: nginx takes that for a client that has left */
  readonly endsRequests: boolean
}

/** Never 500: that is a fault of ours. 100 is for whoever expects it. */
const ALLOWED = /^(?:100|[234]\d\d|501|503|504|505|507)$/
/** Whoever gets no answer in so long gives up: a watch goes on for ever. */
const PATIENCE_MS = 150
/** For a plain request after any number of them, ms. */
const ANSWER_MS = 5_000
const GROWTH_BYTES_MAX = 48 * 1024 * 1024

/** An agent's HTTP port, in this process; its machine is real, its node takes everything at once. */
export async function httpTarget(): Promise<Target> {
  const ends: (() => Promise<void>)[] = []
  const harness = await serve({ teardown: end => void ends.push(end) })
  const { http, errors } = harness
  const tcp = { host: '127.0.0.1', port: http.port, endsRequests: true }
  let floor: number | null = null
  return {
    name: 'http',
    seeds: HTTP_SEEDS,
    width: 24,
    take: async bytes => {
      await takeHttp(tcp, bytes)
      const [error] = errors.splice(0)
      if (error !== undefined) throw new Error(`logged: ${error}`)
    },
    check: async () => {
      await answersPlainly(tcp)
      const heap = heapBytes()
      floor ??= heap
      if (heap - floor > GROWTH_BYTES_MAX) throw new Error(`the heap grew by ${heap - floor} bytes`)
    },
    close: async () => {
      for (const end of ends.reverse()) await end()
    },
  }
}

/** @throws Error unless each answer is one that is allowed */
export async function takeHttp(where: Server, bytes: Uint8Array): Promise<void> {
  const answer = await exchange(where, bytes, PATIENCE_MS)
  for (const [, status = ''] of answer.matchAll(/(?:^|\r\n)HTTP\/1\.1 (\d{3})/g)) {
    if (!ALLOWED.test(status)) throw new Error(`answered ${status}: ${answer.slice(0, 300)}`)
  }
}

/** @throws Error unless a plain request is answered 200 */
export async function answersPlainly(where: Server): Promise<void> {
  const plain = Buffer.from(`GET /livez HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`)
  const answer = await exchange(where, plain, ANSWER_MS)
  if (!answer.startsWith('HTTP/1.1 200 ')) throw new Error(`a plain GET: ${answer || 'nothing'}`)
}

/** What comes back until the other side closes, or patience ends. */
function exchange(where: Server, bytes: Uint8Array, ms: number): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(where)
    const chunks: Buffer[] = []
    const end = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(Buffer.concat(chunks).toString('latin1'))
    }
    const timer = setTimeout(end, ms)
    socket.on('data', chunk => chunks.push(chunk))
    socket.on('error', end)
    socket.on('close', end)
    if (where.endsRequests) socket.end(bytes)
    else socket.write(bytes)
  })
}

/** After a collection. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
