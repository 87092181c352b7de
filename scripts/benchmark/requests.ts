/** Requests, built once before the clock runs. */

import type { Dialect, Job, Load } from './job.ts'

const GRPC_HEADER_BYTES = 5
const FORM = 'application/x-www-form-urlencoded'

/** One request a key: whole HTTP/1.1 requests, or gRPC messages for etcd's v3 API. */
export function buildRequests(job: Job): Buffer[] {
  const requests: Buffer[] = []
  for (let at = 0; at < job.keys; at += 1) {
    const key = `bench-${String(at).padStart(7, '0')}`
    requests.push(buildRequest(job, key, valueFor(at, job.valueBytes)))
  }
  return requests
}

/** Path of the gRPC method that carries such a load. */
export function grpcMethod(load: Load): string {
  return load === 'writes' ? '/etcdserverpb.KV/Put' : '/etcdserverpb.KV/Range'
}

function buildRequest(job: Job, key: string, value: string): Buffer {
  if (job.dialect === 'etcd-grpc') {
    return grpcMessage(job.load === 'writes' ? putRequest(key, value) : serializableRange(key))
  }
  if (job.load === 'reads') {
    return httpRequest(`GET ${keyPath(job.dialect)}/${key}${job.query ?? ''}`, null)
  }
  if (job.dialect === 'etcd-v2') {
    return httpRequest(`PUT ${keyPath('etcd-v2')}/${key}`, { type: FORM, text: `value=${value}` })
  }
  const text = JSON.stringify({ [key]: value })
  return httpRequest(`POST ${keyPath('raft-nginx')}`, { type: 'application/json', text })
}

function keyPath(dialect: Dialect): string {
  return dialect === 'etcd-v2' ? '/v2/keys' : '/key'
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

/** Letters only: no dialect has to escape them. Differs from key to key. */
function valueFor(at: number, bytes: number): string {
  const word = `${String(at)}abcdefghijklmnopqrstuvwxyz`
  return word.repeat(Math.ceil(bytes / word.length)).slice(0, bytes)
}

function putRequest(key: string, value: string): Buffer {
  return Buffer.concat([protobufBytes(1, Buffer.from(key)), protobufBytes(2, Buffer.from(value))])
}

/** RangeRequest: field 1 is the key, field 7 `serializable`. */
function serializableRange(key: string): Buffer {
  return Buffer.concat([protobufBytes(1, Buffer.from(key)), Buffer.from([7 << 3, 1])])
}

/** A field of protobuf's wire type 2. */
function protobufBytes(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(bytes.length)]), bytes])
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
  return bytes
}

/** gRPC's frame: not compressed, length, message. */
function grpcMessage(message: Buffer): Buffer {
  const framed = Buffer.alloc(GRPC_HEADER_BYTES + message.length)
  framed.writeUInt32BE(message.length, 1)
  message.copy(framed, GRPC_HEADER_BYTES)
  return framed
}
