import type { NetConnectOpts } from 'node:net'
import t from 'tap'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { serve, WAYS } from './harness.ts'
import { type Answer, request, until } from './raw-client.ts'

const post = (where: NetConnectOpts, body: string, ...headers: string[]): Promise<Answer> =>
  request(where, 'POST /key', { body, headers })
const get = (where: NetConnectOpts, target: string, ...headers: string[]): Promise<Answer> =>
  request(where, `GET ${target}`, { headers })
const problem = (answer: Answer): Record<string, unknown> => {
  if (answer.headers.get('content-type') !== 'application/problem+json') return {}
  return JSON.parse(answer.body) as Record<string, unknown>
}

for (const { way, ...how } of WAYS) {
  t.test(`${way}: a write, its reads, its end`, async t => {
    const { node, tcp, unix } = await serve(t, { ...how })
    const written = await post(tcp, '{"a":"1","b/c":"€"}')
    t.equal(written.status, 200)
    t.equal(written.body, '')
    t.equal(written.headers.get('content-length'), '0')
    t.equal(node.proposals, 1, 'all pairs are one command')
    for (const where of [tcp, unix]) {
      t.equal((await get(where, '/key/a')).body, '{"a":"1"}')
      t.equal((await get(where, '/key/b%2Fc')).body, '{"b/c":"€"}')
      t.equal((await get(where, '/key/none')).body, '{"none":""}')
      t.equal((await get(where, '/key/a?stale')).body, '{"a":"1"}')
    }
    t.equal((await request(unix, 'DELETE /key/a')).status, 200)
    t.equal((await request(tcp, 'DELETE /key/a')).status, 200, 'also when there is none')
    t.equal((await get(tcp, '/key/a')).body, '{"a":""}')
  })

  t.test(`${way}: what http-api.md puts on every answer is on every answer`, async t => {
    const { node, tcp } = await serve(t, { ...how })
    await post(tcp, '{"a":"1"}')
    node.leader = 'node1'
    node.stalenessMs = 12.2
    const lines = [
      'GET /key/a',
      'HEAD /key/a',
      'POST /key',
      'DELETE /key/a',
      'GET /status',
      'PUT /raft',
    ]
    for (const line of [
      ...lines,
      'GET /key/%zz',
      'GET /fsm/a/',
      'GET /nowhere',
      'GET /livez',
      'POST /join',
    ]) {
      const { headers } = await request(
        tcp,
        line,
        line === 'POST /key' ? { body: '{"a":"b"}' } : {},
      )
      const found = Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-raft')))
      const expected = {
        'x-raft-index': '1',
        'x-raft-term': '3',
        'x-raft-node': 'node0',
        'x-raft-leader': 'node1',
        'x-raft-staleness-ms': '13',
        'x-raft-served-by': 'agent',
      }
      t.strictSame({ ...expected, ...found }, found, line)
      t.strictSame(found, { ...found, ...expected }, line)
    }
    node.leader = null
    node.stalenessMs = null
    const { headers } = await get(tcp, '/key/a')
    t.equal(headers.has('x-raft-leader') || headers.has('x-raft-staleness-ms'), false)
  })

  t.test(`${way}: HEAD is GET without the body`, async t => {
    const { tcp } = await serve(t, { ...how })
    await post(tcp, '{"a":"12345"}')
    for (const target of [
      '/key/a',
      '/status?brief=1',
      '/raft',
      '/livez',
      '/readyz',
      '/no',
      '/key/.',
    ]) {
      const [whole, head] = [await get(tcp, target), await request(tcp, `HEAD ${target}`)]
      t.equal(head.body, '', target)
      t.equal(head.status, whole.status, target)
      t.equal(head.headers.get('content-length'), whole.headers.get('content-length'), target)
    }
  })

  t.test(`${way}: outcomes have the statuses of http-api.md`, async t => {
    const { node, tcp } = await serve(t, { ...how })
    node.leader = 'node2'
    const moved = await post(tcp, '{"a":"1"}')
    t.equal(moved.status, 421)
    t.equal(moved.headers.get('x-raft-leader'), 'node2')
    t.strictSame(problem(moved), {
      type: 'about:blank',
      title: 'Misdirected Request',
      status: 421,
      code: 'NOT_LEADER',
      detail: 'another node leads; nothing happened here',
      leader: { id: 'node2', address: '127.0.0.1:8385' },
      retryable: true,
    })
    node.leader = null
    const leaderless = await request(tcp, 'DELETE /key/a')
    t.equal(leaderless.status, 503)
    t.equal(leaderless.headers.get('retry-after'), '1')
    t.match(problem(leaderless), { code: 'NO_LEADER', leader: null, retryable: true })
    node.leader = 'node0'
    node.overloaded = true
    const busy = await post(tcp, '{"a":"1"}')
    t.equal(busy.status, 503)
    t.equal(busy.headers.get('retry-after'), '1')
    t.match(problem(busy), { code: 'OVERLOADED', retryable: true })
    node.overloaded = false
    node.cutOff = true
    const unknown = await post(tcp, '{"a":"1"}')
    t.equal(unknown.status, 504)
    t.match(problem(unknown), { code: 'COMMIT_UNKNOWN', retryable: false })
    node.cutOff = false
    node.refusesWith = 'COMPARISON_FAILED'
    const refused = await post(tcp, '{"a":"1"}')
    t.equal(refused.status, 422)
    t.match(problem(refused), { code: 'COMPARISON_FAILED', retryable: false })
    t.strictSame(node.keys(), [])
  })

  t.test(`${way}: reads never promise more than they keep`, async t => {
    const { tcp, node } = await serve(t, { ...how })
    await post(tcp, '{"a":"1"}')
    for (const target of [
      '/key/a?consistent',
      '/key/a?stale&consistent=1',
      '/key/a?%63onsistent',
    ]) {
      const confirmed = await get(tcp, target)
      t.equal(confirmed.body, '{"a":"1"}', target)
      t.equal(confirmed.headers.get('cache-control'), 'no-store')
      node.leader = null
      const refused = await get(tcp, target)
      t.equal(refused.status, 503, target)
      t.match(problem(refused), { code: 'NO_LEADER', retryable: true })
      node.leader = 'node0'
    }
    t.equal((await get(tcp, '/key/a', 'X-Raft-Min-Index: 1')).body, '{"a":"1"}')
    const early = await get(tcp, '/key/a', 'X-Raft-Min-Index: 2')
    t.equal(early.status, 504)
    t.match(problem(early), { code: 'MIN_INDEX_NOT_REACHED', retryable: true })
    for (const index of [
      '-1',
      '1.5',
      '0x1',
      '1e3',
      'a',
      '',
      '9007199254740992',
      '1 OR 1=1',
      '1, 2',
    ]) {
      t.equal((await get(tcp, '/key/a', `X-Raft-Min-Index: ${index}`)).status, 400, index)
    }
    const twice = await get(tcp, '/key/a', 'X-Raft-Min-Index: 1', 'X-Raft-Min-Index: 1')
    t.equal(twice.status, 400)
  })

  t.test(`${way}: keys and values are bytes`, async t => {
    const { node, tcp } = await serve(t, { ...how })
    const value = Buffer.from([0x61, 0xff])
    await node.propose(
      encodeCommand({ kind: 'set', pairs: [{ key: Buffer.of(0xff, 0xfe), value }] }),
    )
    t.equal((await get(tcp, '/key/%FF%FE')).body, '{"��":"a�"}')
    const body =
      '{"__proto__":"x","constructor":"y","\u00e9":"NFC","e\u0301":"NFD","\'; DROP--%_*[":"z"}'
    t.equal((await post(tcp, body)).status, 200)
    t.equal((await get(tcp, '/key/__proto__')).body, '{"__proto__":"x"}')
    t.equal((await get(tcp, '/key/constructor')).body, '{"constructor":"y"}')
    t.equal((await get(tcp, '/key/%C3%A9')).body, '{"\u00e9":"NFC"}')
    t.equal((await get(tcp, '/key/e%CC%81')).body, '{"e\u0301":"NFD"}')
    t.equal((await get(tcp, "/key/';%20DROP--%25_*%5B")).body, `{"'; DROP--%_*[":"z"}`)
    t.equal((await request(tcp, 'DELETE /key/%FF%FE')).status, 200)
    t.notOk(node.keys().includes('fffe'))
  })

  t.test(`${way}: limits of keys, values and bodies`, async t => {
    const { node, tcp } = await serve(t, { ...how })
    const key = 'k'.repeat(512)
    t.equal((await post(tcp, `{"${key}":"${'v'.repeat(512 * 1024)}"}`)).status, 200)
    const before = node.proposals
    t.equal((await post(tcp, `{"${key}k":"v"}`)).status, 400)
    t.equal((await post(tcp, `{"k":"${'v'.repeat(512 * 1024 + 1)}"}`)).status, 413)
    t.equal((await post(tcp, `{"${'€'.repeat(171)}":"v"}`)).status, 400, 'bytes, not characters')
    t.equal((await post(tcp, `{"k":"v"}${' '.repeat(1024 * 1024)}`)).status, 413)
    t.equal((await get(tcp, `/key/${key}k`)).status, 400)
    t.equal(node.proposals, before)
  })

  t.test(`${way}: content types of /key`, async t => {
    const { tcp } = await serve(t, { ...how })
    const plain = ['application/json', 'application/x-www-form-urlencoded', 'Application/JSON; q=1']
    for (const type of [
      ...plain,
      'application/json;charset=UTF-8',
      'application/json; charset="utf-8"',
    ]) {
      t.equal((await post(tcp, '{"a":"1"}', `Content-Type: ${type}`)).status, 200, type)
    }
    const others = [
      'text/plain',
      'multipart/form-data; boundary=x',
      'application/json; charset=utf-7',
    ]
    for (const type of [
      ...others,
      'application/problem+json',
      'application/json;charset=utf-16',
      '',
    ]) {
      t.equal((await post(tcp, '{"a":"1"}', `Content-Type: ${type}`)).status, 415, type)
    }
    t.equal((await post(tcp, '{"a":"1"}', 'Content-Encoding: gzip')).status, 415)
    t.equal((await post(tcp, '{"a":"1"}', 'Content-Encoding: identity')).status, 200)
  })

  t.test(`${way}: bytes that are no JSON in UTF-8 are refused`, async t => {
    const { node, tcp } = await serve(t, { ...how })
    const bodies = [
      Buffer.from('{"a":"\xff"}', 'latin1'),
      Buffer.from('\ufeff{"a":"b"}', 'utf16le'),
      Buffer.from('{"a":"b"}', 'utf16le'),
      Buffer.from('\ufeff{"a":"b"}'),
      Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22]), // a surrogate in UTF-8
      Buffer.from('[]'),
      Buffer.from(''),
    ]
    for (const body of bodies) t.equal((await request(tcp, 'POST /key', { body })).status, 400)
    t.equal(node.proposals, 0)
  })

  t.test(`${way}: our own fault is 500 without its text`, async t => {
    const { node, tcp, errors } = await serve(t, { ...how })
    node.broken = true
    const answer = await get(tcp, '/key/a')
    t.equal(answer.status, 500)
    t.match(problem(answer), { code: 'INTERNAL' })
    t.notMatch(answer.raw, /SQLITE|secret|at /)
    t.strictSame(errors, ['a request failed'])
    node.broken = false
    t.equal((await get(tcp, '/key/a')).status, 200)
  })

  t.test(`${way}: a connection serves many requests, pipelined ones in order`, async t => {
    const { tcp } = await serve(t, { ...how })
    const body = '{"a":"1"}'
    const received = await until(
      tcp,
      `POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      'GET /key/a HTTP/1.1\r\nHost: a\r\n\r\nGET /raft HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /key/b HTTP/1.0\r\n\r\n',
    )
    t.strictSame(received.match(/HTTP\/1\.1 \d+/g), Array(4).fill('HTTP/1.1 200'))
    t.match(received, /{"a":"1"}.*"State":"Leader".*{"b":""}/s)
    t.match(received, /Keep-Alive: timeout=75/)
  })

  t.test(`${way}: unread bodies do not spoil the connection`, async t => {
    const { tcp } = await serve(t, { ...how })
    const body = 'x'.repeat(100_000)
    const head = `HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`
    const lines = [
      'POST /key',
      'POST /join',
      'GET /key/a',
      'PUT /key/a',
      'POST /nowhere',
      'POST //x',
    ]
    const parts = lines.map(line => `${line} ${head}${body}`)
    const received = await until(tcp, ...parts, 'GET /key/b HTTP/1.0\r\n\r\n')
    t.strictSame(
      received.match(/HTTP\/1\.1 \d+/g)?.map(line => Number(line.slice(9))),
      [415, 415, 200, 405, 404, 400, 200],
    )
  })
}

t.test('what is not there: 404, 405 with Allow', async t => {
  const { tcp } = await serve(t)
  for (const target of ['/', '/v1/cluster/nothing', '/raft/append', '/keys']) {
    const answer = await get(tcp, target)
    t.equal(answer.status, 404, target)
    t.match(problem(answer), { code: 'NOT_FOUND', status: 404 })
  }
  const table: [string, string][] = [
    ['GET /key', 'POST'],
    ['PUT /key/a', 'GET, HEAD, DELETE'],
    ['POST /key/a', 'GET, HEAD, DELETE'],
    ['OPTIONS /key/a', 'GET, HEAD, DELETE'],
    ['DELETE /status', 'GET, HEAD'],
    ['POST /readyz', 'GET, HEAD'],
    ['GET /join', 'POST'],
  ]
  for (const [line, allow] of table) {
    const answer = await request(tcp, line)
    t.equal(answer.status, 405, line)
    t.equal(answer.headers.get('allow'), allow, line)
  }
})
