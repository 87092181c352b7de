import fc from 'fast-check'
import t from 'tap'
import { NASTY } from './nasty-requests.ts'
import { type Sent, TwoWays } from './two-ways.ts'

const CASES = 600
const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)
t.setTimeout(120_000)

const PLAIN = Buffer.from('GET /key/plain HTTP/1.1\r\nHost: a\r\n\r\n')

t.test(
  'what is nasty is answered as Node answers it, first or later, whole or in pieces',
  async t => {
    const ways = await TwoWays.open(t)
    for (const { name, bytes } of NASTY) {
      const whole: Sent = [{ bytes, next: 'wait' }]
      const half = Math.floor(bytes.length / 2)
      const pieces: Sent = [
        { bytes: bytes.subarray(0, half), next: 'wait' },
        { bytes: bytes.subarray(half), next: 'wait' },
      ]
      const plain: Sent = [{ bytes: PLAIN, next: 'wait' }]
      const behind: Sent = [{ bytes: Buffer.concat([PLAIN, bytes]), next: 'wait' }]
      const before: Sent = [{ bytes: Buffer.concat([bytes, PLAIN]), next: 'wait' }]
      for (const sent of [
        whole,
        pieces,
        [...plain, ...whole],
        [...plain, ...pieces],
        behind,
        before,
      ]) {
        await t.resolves(ways.compare([...sent, ...plain]), name)
      }
    }
    await t.resolves(ways.checkCounts())
  },
)

const METHODS = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'get', 'OPTIONS', 'PATCH')
const TARGETS = fc.constantFrom(
  ...['/key', '/key?x=1', '/key/a', '/key/a?consistent', '/key/%61%2Fb', '/key/%zz', '/key/a/b'],
  ...[
    '/key/',
    '/key/nginx%2Fx',
    '/status',
    '/status?brief=1',
    '/raft',
    '/livez',
    '/readyz?verbose',
  ],
  ...[
    '/v1/kv/a',
    '/v1/kv/a/b?raw',
    '/v1/kv/?recurse',
    '/v1/kv/a?keys',
    '/v1/kv/a?cas=0',
    '/v1/kv/',
  ],
  ...['/v1/kv/a?stale&consistent', '/v1/txn', '/v1/session/list', '/v1/agent/self', '/v1/health/x'],
  ...[
    '/join',
    '/nothing',
    '/v1/cluster/members',
    'http://a/key/a',
    '*',
    '//key',
    '/../key/a',
    '/k#y',
  ],
)
const HEADER = fc.constantFrom(
  ...['Host: a', 'host: A:80', 'HOST: [::1]:1', 'Host: a b', 'Host:a', 'Host: '],
  ...['Content-Length: 9', 'content-length: 0', 'Content-Length: +9', 'Content-Length: 09'],
  ...['Content-Length: 9 ', 'Content-Length: 9, 9', 'Content-Length: -1', 'Content-Length: 10'],
  ...['Transfer-Encoding: chunked', 'Transfer-Encoding: identity', 'TE: trailers', 'Trailer: X'],
  ...[
    'Connection: keep-alive',
    'Connection: Keep-Alive',
    'Connection: close',
    'Connection: Upgrade',
  ],
  ...[
    'Proxy-Connection: close',
    'Upgrade: h2c',
    'Expect: 100-continue',
    'Expect: x',
    'X-Raft-Hop: 1',
  ],
  ...['Content-Type: application/json', 'Content-Type: text/plain', 'Content-Encoding: gzip'],
  ...['X-Raft-Min-Index: 0', 'X-Raft-Min-Index: x', 'Idempotency-Key: k', 'Idempotency-Key: a b'],
  ...['If-Match: "1"', 'If-None-Match: "1"', 'X-Consul-Token: s', 'Authorization: Bearer t'],
  ...[
    'X : y',
    'X\t: y',
    ' X: y',
    'X: y\0',
    'X: \x7f',
    'X: \xe9',
    'X: a\tb',
    'X_Y: z',
    ': z',
    'X',
    '',
  ],
)
const BODY = fc.constantFrom(
  '',
  '{"a":"b"}',
  '{"c":"d"}',
  '9\r\n{"a":"b"}\r\n0\r\n\r\n',
  '\xff',
  'GET',
)

/** Mostly what a client would send, so that it gets far. */
const REQUEST = fc
  .record({
    method: METHODS,
    target: TARGETS,
    headers: fc.array(HEADER, { maxLength: 4 }),
    host: fc.integer({ min: 0, max: 9 }),
    length: fc.integer({ min: 0, max: 9 }),
    end: fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n'),
    version: fc.constantFrom('1.1', '1.1', '1.1', '1.1', '1.1', '1.0', '2.0'),
    body: BODY,
  })
  .map(({ method, target, headers, host, length, end, version, body }) => {
    const lines = [`${method} ${target} HTTP/${version}`]
    if (host > 0) lines.push('Host: agent')
    if (length > 3 && body !== '') lines.push(`Content-Length: ${body.length}`)
    const text = `${[...lines, ...headers].join(end)}${end}${end}${body}`
    return Buffer.from(text, 'latin1')
  })

const SENT = fc
  .array(fc.record({ request: REQUEST, cut: fc.nat(400), wait: fc.boolean() }), {
    minLength: 1,
    maxLength: 4,
  })
  .map(requests =>
    requests.flatMap(({ request, cut, wait }): Sent => {
      const next = wait ? 'wait' : 'at-once'
      const [first, second] = [request.subarray(0, cut), request.subarray(cut)]
      return [
        // Whether what is cut goes to Node is not to depend on when the rest comes.
        { bytes: first, next: second.length > 0 ? 'wait' : next },
        { bytes: second, next },
      ]
    }),
  )

t.test(`the fast door says what Node says: ${CASES} connections`, async t => {
  const ways = await TwoWays.open(t)
  const property = fc.asyncProperty(SENT, fc.constantFrom('tcp', 'unix'), async (sent, by) => {
    await ways.compare(sent, by)
  })
  await t.resolves(fc.assert(property, { numRuns: CASES, seed }))
  await t.resolves(ways.checkCounts())
})
