/** Requests of every dialect, built before the clock runs. */

import type { Dialect, Freshness, Job } from './job.ts'
import { grpcMessage, protobufBytes } from './protobuf.ts'

const FORM = 'application/x-www-form-urlencoded'
/** Of the requests of a mixed load every so manieth writes. */
const MIXED_WRITE_EVERY = 10

/** A key that every load writes. */
export const KNOWN = keyAt(0)

/** One request, ready to be sent. */
export interface Prepared {
  /** a whole HTTP/1.1 request, a gRPC message, or a command of Redis */
  readonly bytes: Buffer
  /** the gRPC method: an index of `GRPC_METHODS` */
  readonly method: number
  /** a shorter answer is an error: what a read must bring */
  readonly bodyBytesMin: number
}

/** Paths of the methods that carry reads and writes. */
export const GRPC_METHODS = ['/etcdserverpb.KV/Range', '/etcdserverpb.KV/Put'] as const
const RANGE = 0
const PUT = 1

/** One request a key. */
export class Requests {
  readonly #job: Job
  readonly #built: readonly Prepared[]

  constructor(job: Job) {
    this.#job = job
    const inAdvance = job.extent.kind === 'timed' ? job.keys : 0
    this.#built = Array.from({ length: inAdvance }, (_, at) => buildRequest(job, at))
  }

  at(key: number): Prepared {
    return this.#built[key] ?? buildRequest(this.#job, key)
  }
}

export function keyAt(at: number): string {
  return `bench-${String(at).padStart(7, '0')}`
}

function buildRequest(job: Job, at: number): Prepared {
  const key = keyAt(at)
  const writes = job.load === 'writes' || (job.load === 'mixed' && at % MIXED_WRITE_EVERY === 0)
  const method = writes ? PUT : RANGE
  const bytes = writes
    ? writeRequest(job.dialect, key, valueFor(at, job.valueBytes))
    : readRequest(job, key)
  return { bytes, method, bodyBytesMin: writes ? 0 : job.valueBytes }
}

function writeRequest(dialect: Dialect, key: string, value: string): Buffer {
  switch (dialect) {
    case 'etcd-grpc': {
      const fields = [protobufBytes(1, Buffer.from(key)), protobufBytes(2, Buffer.from(value))]
      return grpcMessage(Buffer.concat(fields))
    }
    case 'etcd-v2':
      return httpRequest(`PUT /v2/keys/${key}`, { type: FORM, text: `value=${value}` })
    case 'consul':
      return httpRequest(`PUT /v1/kv/${key}`, { type: 'text/plain', text: value })
    case 'redis':
      return redisCommand(['SET', key, value])
    default: {
      const text = JSON.stringify({ [key]: value })
      return httpRequest('POST /key', { type: 'application/json', text })
    }
  }
}

function readRequest({ dialect, query, freshness = 'local' }: Job, key: string): Buffer {
  if (dialect === 'etcd-grpc') return rangeRequest(key, freshness !== 'linearizable')
  if (dialect === 'redis') return redisCommand(['GET', key])
  const path = { 'raft-nginx': '/key', hraftd: '/key', consul: '/v1/kv', 'etcd-v2': '/v2/keys' }
  return httpRequest(`GET ${path[dialect]}/${key}${query ?? queryFor(dialect, freshness)}`, null)
}

function queryFor(dialect: Dialect, freshness: Freshness): string {
  const linearizable = freshness === 'linearizable'
  if (dialect === 'consul') return linearizable ? '?raw&consistent' : '?raw&stale'
  if (dialect === 'etcd-v2') return linearizable ? '?quorum=true' : ''
  if (dialect === 'hraftd') return ''
  return { linearizable: '?consistent', local: '', edge: '?stale' }[freshness]
}

function httpRequest(
  methodAndPath: string,
  body: { readonly type: string; readonly text: string } | null,
): Buffer {
  const lines = [`${methodAndPath} HTTP/1.1`, 'Host: 127.0.0.1']
  if (body !== null) {
    lines.push(`Content-Type: ${body.type}`, `Content-Length: ${Buffer.byteLength(body.text)}`)
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body?.text ?? ''}`)
}

/** RESP: an array of bulk strings. */
function redisCommand(words: readonly string[]): Buffer {
  const bulk = words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
  return Buffer.from(`*${words.length}\r\n${bulk.join('')}`)
}

/** Letters only: no dialect has to escape them. Differs from key to key. */
export function valueFor(at: number, bytes: number): string {
  const word = `${String(at)}abcdefghijklmnopqrstuvwxyz`
  return word.repeat(Math.ceil(bytes / word.length)).slice(0, bytes)
}

/** RangeRequest: field 1 is the key, field 7 `serializable`. */
function rangeRequest(key: string, serializable: boolean): Buffer {
  const fields = [protobufBytes(1, Buffer.from(key))]
  if (serializable) fields.push(Buffer.from([7 << 3, 1]))
  return grpcMessage(Buffer.concat(fields))
}
