import fc from 'fast-check'

/** Requests one behind the other, writes and reads mixed: what each is answered depends on those before it. */

function of(line: string, headers: readonly string[] = [], body: string | null = null): string {
  const length = body === null ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  return `${[`${line} HTTP/1.1`, 'Host: a', ...headers, ...length].join('\r\n')}\r\n\r\n${body ?? ''}`
}

const TRANSACTION = (value: string, index: number) =>
  JSON.stringify([
    { KV: { Verb: 'cas', Key: 'a', Value: Buffer.from(value).toString('base64'), Index: index } },
    { KV: { Verb: 'get', Key: 'b' } },
  ])

const ALL: readonly string[] = [
  of('POST /key', [], '{"a":"1"}'),
  of('POST /key', ['Content-Type: application/json'], '{"a":"2","b":"\\u00e9"}'),
  of('POST /key', ['Idempotency-Key: one'], '{"a":"3"}'),
  of('POST /key', ['Idempotency-Key: one'], '{"a":"4"}'),
  of('POST /key', ['X-Consul-Token: s'], '{"b":"5"}'),
  of('POST /key', [], '{"a":'),
  of('POST /key', ['Content-Type: text/plain'], '{"a":"6"}'),
  of('DELETE /key/a'),
  of('DELETE /key/b', ['Idempotency-Key: two']),
  of('GET /key/a'),
  of('GET /key/b?consistent'),
  of('GET /key/a?max_stale=1s'),
  of('GET /key/a', ['X-Raft-Min-Index: 1']),
  of('HEAD /key/a'),
  of('HEAD /v1/kv/b?raw'),
  of('GET /key/%zz'),
  of('PUT /v1/kv/a', [], 'seven'),
  of('PUT /v1/kv/a?cas=0', [], 'eight'),
  of('PUT /v1/kv/a?cas=1', [], 'nine'),
  of('PUT /v1/kv/b', ['If-None-Match: *'], '\x00\x01'),
  of('PUT /v1/kv/b', ['If-Match: "2"'], 'ten'),
  of('PUT /v1/kv/a?acquire=none', [], 'x'),
  of('DELETE /v1/kv/a'),
  of('DELETE /v1/kv/?recurse'),
  of('DELETE /v1/kv/b?cas=2'),
  of('GET /v1/kv/a'),
  of('GET /v1/kv/b?raw'),
  of('GET /v1/kv/a?stale'),
  of('GET /v1/kv/?keys'),
  of('GET /v1/kv/?recurse'),
  of('PUT /v1/txn', [], TRANSACTION('eleven', 0)),
  of('PUT /v1/txn', [], TRANSACTION('twelve', 3)),
  of('GET /v1/session/list'),
  of('GET /raft'),
  of('GET /v1/cluster/members'),
  of('POST /kei', [], 'x'),
]

const WRITES = ALL.slice(0, 9).join('')
const READS = ALL.slice(9, 16).join('')
const CONSULS = ALL.slice(16, 30).join('')
const OTHERS = ALL.slice(28).join('')

/** A few that are cut. */
export const PIPELINED: readonly Buffer[] = [
  `${ALL[0]}${ALL[9]}${ALL[16]}`,
  WRITES + READS,
  `${ALL[0]}${ALL[9]}${ALL[7]}${ALL[10]}${ALL[1]}${READS}`,
  CONSULS,
  `${READS}${OTHERS}`,
  `${ALL[0]}${ALL[0]}NONSENSE\r\n\r\n${ALL[0]}`,
].map(text => Buffer.from(text, 'latin1'))

/** Four of them each. */
export const FOURS: readonly Buffer[] = ALL.flatMap((_, at) =>
  at % 4 === 0 ? [Buffer.from(ALL.slice(at, at + 4).join(''), 'latin1')] : [],
)

/** Any of them in any order. */
export const pipelined = fc
  .array(fc.constantFrom(...ALL), { minLength: 2, maxLength: 24 })
  .map(requests => Buffer.from(requests.join(''), 'latin1'))
