import type { NetConnectOpts } from 'node:net'
import t, { type Test } from 'tap'
import { parseDuration } from '../../src/http/consul/duration.ts'
import { serve, WAYS } from './harness.ts'
import { type Answer, request } from './raw-client.ts'

const get = (where: NetConnectOpts, target: string, ...headers: string[]): Promise<Answer> =>
  request(where, `GET /v1/kv/${target}`, { headers })
const put = (
  where: NetConnectOpts,
  target: string,
  body: string | Buffer = '',
  ...headers: string[]
): Promise<Answer> => request(where, `PUT /v1/kv/${target}`, { body, headers })
const del = (where: NetConnectOpts, target: string, ...headers: string[]): Promise<Answer> =>
  request(where, `DELETE /v1/kv/${target}`, { headers })
const txn = (where: NetConnectOpts, operations: unknown): Promise<Answer> =>
  request(where, 'PUT /v1/txn', {
    body: typeof operations === 'string' ? operations : JSON.stringify(operations),
  })
const base64 = (text: string): string => Buffer.from(text).toString('base64')

for (const { way, ...how } of WAYS) {
  t.test(`${way}: a key as Consul shows it`, async t => {
    const { tcp } = await serve(t, { ...how })
    const written = await put(tcp, 'a/b', 'one')
    t.strictSame([written.status, written.body], [200, 'true'])
    t.equal(written.headers.get('content-type'), 'application/json')
    const read = await get(tcp, 'a/b')
    t.equal(read.status, 200)
    t.equal(
      read.body,
      '[{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"b25l","CreateIndex":1,"ModifyIndex":1}]',
    )
    t.equal(read.headers.get('x-consul-index'), '1')
    t.equal(read.headers.get('x-consul-knownleader'), 'true')
    t.equal(read.headers.get('x-consul-lastcontact'), '0')
    t.equal(read.headers.get('etag'), '"1"')
    const missing = await get(tcp, 'none')
    t.strictSame([missing.status, missing.body], [404, ''])
    t.equal(missing.headers.get('x-consul-index'), '1', 'never 0: clients would not wait')
    t.equal((await put(tcp, 'empty')).body, 'true')
    t.match((await get(tcp, 'empty')).body, '"Value":null')
    t.equal((await request(tcp, 'HEAD /v1/kv/a/b')).status, 200)
  })

  t.test(`${way}: /key and /v1/kv show the same keys`, async t => {
    const { tcp } = await serve(t, { ...how })
    await request(tcp, 'POST /key', { body: '{"k":"text"}' })
    t.match((await get(tcp, 'k')).body, `"Value":"${base64('text')}"`)
    await put(tcp, 'k', Buffer.of(0x61, 0xff))
    t.equal((await request(tcp, 'GET /key/k')).body, '{"k":"a\ufffd"}', 'bytes shown as text')
    t.equal((await get(tcp, 'a%2Fb')).status, 404)
    await put(tcp, 'a%2Fb', 'one key, two spellings')
    t.equal((await get(tcp, 'a/b')).status, 200)
    await request(tcp, 'DELETE /key/k')
    t.equal((await get(tcp, 'k')).status, 404)
  })

  t.test(`${way}: what wakes nobody: the same content again is no change`, async t => {
    const { tcp } = await serve(t, { ...how })
    await put(tcp, 'k', 'same')
    await put(tcp, 'k', 'same')
    t.match((await get(tcp, 'k')).body, '"ModifyIndex":1')
    await put(tcp, 'k?flags=7', 'same')
    t.match((await get(tcp, 'k')).body, '"Flags":7')
    t.match((await get(tcp, 'k')).body, '"ModifyIndex":3')
  })

  t.test(`${way}: txn: all or nothing, in one entry`, async t => {
    const { tcp, node } = await serve(t, { ...how })
    const set = (Key: string, more: object = {}): object => ({
      KV: { Verb: 'set', Key, Value: base64(Key), ...more },
    })
    const good = await txn(tcp, [
      set('a', { Flags: 3 }),
      set('b'),
      { KV: { Verb: 'get', Key: 'a' } },
      { KV: { Verb: 'delete', Key: 'b' } },
      { KV: { Verb: 'check-not-exists', Key: 'b' } },
    ])
    t.equal(good.status, 200)
    t.equal(node.proposals, 1)
    const row = (Key: string, Value: string | null, Flags: number): object => ({
      KV: { LockIndex: 0, Key, Flags, Value, CreateIndex: 1, ModifyIndex: 1 },
    })
    t.strictSame(JSON.parse(good.body), {
      Results: [row('a', null, 3), row('b', null, 0), row('a', base64('a'), 3)],
      Errors: null,
    })
    const bad = await txn(tcp, [
      set('c'),
      { KV: { Verb: 'cas', Key: 'a', Index: 9, Value: '' } },
      { KV: { Verb: 'get', Key: 'none' } },
    ])
    t.equal(bad.status, 409)
    t.match(JSON.parse(bad.body), { Results: null, Errors: [{ OpIndex: 1 }, { OpIndex: 2 }] })
    t.equal((await get(tcp, 'c')).status, 404, 'what came before the failure is taken back')
    const proposals = node.proposals
    const read = await txn(tcp, [{ KV: { Verb: 'get-tree', Key: '' } }])
    t.equal(node.proposals, proposals, 'reading needs no entry')
    t.match(JSON.parse(read.body), { Results: [{ KV: { Key: 'a', Value: base64('a') } }] })
    t.equal(read.headers.get('x-consul-knownleader'), 'true')
  })
}

// What they do is in client-cases: these are refused.
t.test('comparisons that are none, or two at a time', async t => {
  const { tcp, node } = await serve(t)
  for (const bad of ['-1', '9007199254740992', '1%20OR%201=1', '', '1.5', '0x1']) {
    t.equal((await put(tcp, `k?cas=${bad}`, 'x')).status, 400, bad)
  }
  t.equal((await put(tcp, 'k?cas=0&acquire=s', 'x')).status, 400)
  for (const bad of ['If-Match: *', 'If-Match: 1', 'If-Match: "0"', 'If-None-Match: "1"']) {
    t.equal((await put(tcp, 'k', 'x', bad)).status, 400, bad)
  }
  t.equal((await put(tcp, 'k?cas=0', 'x', 'If-None-Match: *')).status, 400)
  t.equal(node.proposals, 0)
})

t.test('keys, recurse and separator', async t => {
  const { tcp } = await serve(t)
  for (const key of ['a/b/c', 'a/b/d', 'a/e', 'az', 'b', '%FF', '%FF%FF']) await put(tcp, key, 'v')
  const names = async (target: string): Promise<unknown> =>
    JSON.parse((await get(tcp, target)).body)
  t.strictSame(await names('a/?keys'), ['a/b/c', 'a/b/d', 'a/e'])
  t.strictSame(await names('a/?keys&separator=/'), ['a/b/', 'a/e'])
  t.strictSame(await names('a?keys&separator=/'), ['a/', 'az'])
  t.strictSame(await names('?keys&separator=%2F'), ['a/', 'az', 'b', '\ufffd', '\ufffd\ufffd'])
  t.strictSame((await names('%FF?keys')) as unknown[], ['\ufffd', '\ufffd\ufffd'])
  const rows = JSON.parse((await get(tcp, 'a/b?recurse')).body) as { Key: string }[]
  t.strictSame(
    rows.map(row => row.Key),
    ['a/b/c', 'a/b/d'],
  )
  t.equal((await get(tcp, 'zz?keys')).status, 404)
  t.equal((await get(tcp, 'zz?recurse')).status, 404)
  t.equal((await del(tcp, 'a?recurse')).body, 'true')
  t.strictSame(await names('?keys'), ['b', '\ufffd', '\ufffd\ufffd'])
  t.equal((await del(tcp, '?recurse')).body, 'true')
  t.equal((await get(tcp, '?keys')).body, '[]', 'none at the root is an empty list')
  t.equal((await get(tcp, '?recurse')).status, 404)
})

t.test('the index of a prefix counts what was deleted below it', async t => {
  const { tcp } = await serve(t)
  const index = async (target: string): Promise<string | undefined> =>
    (await get(tcp, target)).headers.get('x-consul-index')
  await put(tcp, 'a/1', 'v')
  await put(tcp, 'a/2', 'v')
  await put(tcp, 'b', 'v')
  t.equal(await index('a/?recurse'), '2')
  await del(tcp, 'a/2')
  t.strictSame([await index('a/?recurse'), await index('a/?keys')], ['4', '4'])
  t.equal(await index('a/2'), '4')
  t.equal(await index('a/1'), '1', 'a key that is there has its own')
  await del(tcp, 'a/?recurse')
  t.strictSame([await index('a/?keys'), await index('a/1'), await index('a/9')], ['5', '5', '5'])
  t.equal(await index('b'), '3')
  t.equal(await index('c'), '1')
})

t.test('flags have 64 bits, wherever they come from', async t => {
  const { tcp } = await serve(t)
  await put(tcp, 'a?flags=18446744073709551615', 'v')
  t.match((await get(tcp, 'a')).body, '"Flags":18446744073709551615,')
  const body = `[{"KV":{"Verb":"set","Key":"\\"Flags\\":12345678901234567,","Flags":3304740253564472344}}]`
  const answer = await txn(tcp, body)
  t.match(answer.body, '"Flags":3304740253564472344,')
  t.match(answer.body, '"Key":"\\"Flags\\":12345678901234567,"')
  for (const flags of ['-1', '18446744073709551616', 'x', '1e3']) {
    t.equal((await put(tcp, `a?flags=${flags}`, 'v')).status, 400, flags)
  }
})

t.test('raw: the bytes as they were written, with the type they were given', async t => {
  const { tcp } = await serve(t)
  const image = Buffer.of(0x89, 0x50, 0, 0xff)
  await put(tcp, 'i', image, 'Content-Type: image/png')
  const raw = await get(tcp, 'i?raw')
  t.ok(raw.raw.endsWith(image.toString('latin1')))
  t.equal(raw.headers.get('content-type'), 'image/png')
  t.equal(raw.headers.get('content-length'), '4')
  t.equal(raw.headers.get('x-content-type-options'), 'nosniff')
  t.equal(raw.headers.get('content-security-policy'), 'sandbox')
  await put(tcp, 'j', 'x', 'Content-Type: application/x-www-form-urlencoded')
  t.equal((await get(tcp, 'j?raw')).headers.get('content-type'), 'application/octet-stream')
})

t.test('consistency: default and consistent ask the leader, stale does not', async t => {
  const { tcp, node } = await serve(t)
  await put(tcp, 'k', 'v')
  for (const [target, asks] of [
    ['k', 1],
    ['k?consistent', 1],
    ['k?stale', 0],
    ['k?max_stale=5s', 0],
  ] as const) {
    const before = node.confirmations
    t.equal((await get(tcp, target)).status, 200, target)
    t.equal(node.confirmations - before, asks, target)
  }
  node.leader = null
  node.stalenessMs = 4_200
  const refused = await get(tcp, 'k')
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('content-type'), 'text/plain; charset=utf-8')
  const stale = await get(tcp, 'k?stale')
  t.equal(stale.headers.get('x-consul-knownleader'), 'false')
  t.equal(stale.headers.get('x-consul-lastcontact'), '4200')
  t.equal((await get(tcp, 'k?max_stale=5s')).status, 200)
  t.equal((await get(tcp, 'k?max_stale=4s')).status, 503)
  t.equal((await request(tcp, 'GET /key/k?max_stale=4s')).status, 503)
  t.equal((await request(tcp, 'GET /key/k?max_stale=soon')).status, 400)
  t.equal((await get(tcp, 'k?stale', 'X-Raft-Min-Index: 1')).status, 200)
  t.equal((await get(tcp, 'k?stale', 'X-Raft-Min-Index: 2')).status, 504)
  t.equal((await get(tcp, 'k?stale&consistent')).status, 400)
  t.equal((await get(tcp, 'k?max_stale=x')).status, 400)
})

t.test('outcomes of writes in Consul\u2019s manner: one line of text', async t => {
  const { tcp, node } = await serve(t)
  const check = async (status: number, retry: string | undefined): Promise<void> => {
    for (const answer of [await put(tcp, 'k', 'v'), await del(tcp, 'k')]) {
      t.equal(answer.status, status)
      t.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
      t.equal(answer.headers.get('retry-after'), retry)
      t.notMatch(answer.body, /[{\n]/)
    }
  }
  node.leader = 'node2'
  await check(421, undefined)
  t.equal((await put(tcp, 'k', 'v')).headers.get('x-raft-leader'), 'node2')
  node.leader = null
  await check(503, '1')
  node.leader = 'node0'
  node.overloaded = true
  await check(503, '1')
  node.overloaded = false
  node.cutOff = true
  await check(504, undefined)
})

t.test('bad requests are refused, with one line', async t => {
  const { tcp, node } = await serve(t)
  const refused: [string, number][] = [
    ['GET /v1/kv/', 400],
    ['PUT /v1/kv/', 400],
    ['DELETE /v1/kv/', 400],
    ['PUT /v1/kv/a%00b', 400],
    ['PUT /v1/kv/a/../b', 400],
    ['PUT /v1/kv/a%2F..%2Fb', 400],
    ['GET /v1/%6bv/a', 404],
    [`PUT /v1/kv/${'k'.repeat(513)}`, 400],
    ['PUT /v1/kv/k?ttl=10', 400],
    ['PUT /v1/kv/k?ttl=999ms', 400],
    ['PUT /v1/kv/k?ttl=721h', 400],
    ['PUT /v1/kv/k?acquire=', 400],
    ['PUT /v1/kv/k?acquire=a&release=b', 400],
    ['PUT /v1/kv/k?acquire=a&ttl=10s', 400],
    ['DELETE /v1/kv/k?recurse&cas=1', 400],
    ['GET /v1/kv/k?index=-1', 400],
    ['GET /v1/kv/k?index=9007199254740992', 400],
    ['GET /v1/kv/k?index=1&wait=soon', 400],
    ['POST /v1/kv/k', 405],
    ['GET /v1/txn', 405],
    ['PUT /v1/catalog/register', 501],
    ['GET /v1/health/service/web', 501],
    ['GET /v1/acl/tokens', 501],
  ]
  for (const [line, status] of refused) {
    const answer = await request(tcp, line)
    t.equal(answer.status, status, line)
    if (status !== 404) t.notMatch(answer.body, /[{\n]/, line)
  }
  t.equal((await request(tcp, 'GET /v1/nothing')).status, 404)
  t.equal((await put(tcp, 'k', Buffer.alloc(512 * 1024 + 1))).status, 413)
  t.equal((await put(tcp, 'k', 'x', 'Content-Encoding: gzip')).status, 415)
  t.equal(node.proposals, 0)
  t.equal((await request(tcp, 'POST /v1/kv/k')).headers.get('allow'), 'GET, HEAD, PUT, DELETE')
})

t.test('bodies of txn that are refused', async t => {
  const { tcp, node } = await serve(t)
  const kv = (more: object): unknown => [{ KV: { Verb: 'set', Key: 'k', ...more } }]
  const bodies: [unknown, number][] = [
    ['', 400],
    ['{}', 400],
    ['[]', 400],
    ['[1]', 400],
    ['[{}]', 400],
    ['[{"KV":{}}]', 400],
    ['[{"KV":{"Verb":"set","Key":"k"},"Node":{"Verb":"get"}}]', 400],
    ['[{"Node":{"Verb":"get"}}]', 501],
    ['[{"__proto__":{"Verb":"set","Key":"k"}}]', 400],
    [`[${'['.repeat(50_000)}`, 400],
    [kv({ Verb: 'constructor' }), 400],
    [kv({ Key: '' }), 400],
    [kv({ Key: 'a/../b' }), 400],
    [kv({ Key: '\u0000' }), 400],
    [kv({ Key: '\ud800' }), 400],
    [kv({ Value: 'no base64!' }), 400],
    [kv({ Value: 7 }), 400],
    [kv({ Flags: -1 }), 400],
    [kv({ Flags: 1.5 }), 400],
    [kv({ Index: 2 ** 53 }), 400],
    [kv({ Session: 'a b' }), 400],
    [Array.from({ length: 129 }, () => ({ KV: { Verb: 'set', Key: 'k' } })), 413],
  ]
  for (const [body, status] of bodies) {
    const answer = await txn(tcp, body)
    t.equal(answer.status, status, JSON.stringify(body).slice(0, 60))
    t.notMatch(answer.body, /[{\n]/)
  }
  t.equal(node.proposals, 0)
  const most = Array.from({ length: 128 }, (_, at) => ({ kv: { verb: 'set', key: `k${at}` } }))
  t.equal((await txn(tcp, most)).status, 200, 'names without regard to case, and 128 of them')
})

t.test('status and agent/self', async t => {
  const { tcp, node } = await serve(t)
  const json = async (path: string): Promise<unknown> =>
    JSON.parse((await request(tcp, `GET /v1/${path}`)).body)
  t.equal(await json('status/leader'), '127.0.0.1:8186')
  t.strictSame(await json('status/peers'), ['127.0.0.1:8186', '127.0.0.1:8286', '127.0.0.1:8386'])
  t.match(await json('agent/self'), { Config: { NodeName: 'node0' }, Member: { Name: 'node0' } })
  node.leader = null
  t.equal(await json('status/leader'), '')
})

t.test('durations are those of Go', async t => {
  durations(t, {
    '10s': 10_000,
    '1m30s': 90_000,
    '1.5h': 5_400_000,
    '500ms': 500,
    '0': 0,
    '2us': 2e-3,
  })
  for (const bad of ['', '10', 's', '-1s', '1 s', '1d', '1s ', 'Infinitys', '1e3s']) {
    t.equal(parseDuration(bad), null, bad)
  }
})

function durations(t: Test, table: Readonly<Record<string, number>>): void {
  for (const [text, ms] of Object.entries(table)) t.equal(parseDuration(text), ms, text)
}
