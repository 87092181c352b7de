import type { NetConnectOpts } from 'node:net'
import t from 'tap'
import { serve, WAYS } from './harness.ts'
import { type Answer, request } from './raw-client.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const put = (where: NetConnectOpts, target: string, body = '', ...headers: string[]) =>
  request(where, `PUT /v1/${target}`, { body, headers })
const get = (where: NetConnectOpts, target: string): Promise<Answer> =>
  request(where, `GET /v1/${target}`)
const json = async (answer: Promise<Answer>): Promise<unknown> => JSON.parse((await answer).body)

async function create(where: NetConnectOpts, body: object = {}): Promise<string> {
  const answer = await put(where, 'session/create', JSON.stringify(body))
  return (JSON.parse(answer.body) as { ID: string }).ID
}

for (const { way, ...how } of WAYS) {
  t.test(`${way}: a session is made, shown, renewed and destroyed`, async t => {
    const { tcp } = await serve(t, { ...how })
    const id = await create(tcp, { Name: 'mine', TTL: '1m30s', LockDelay: '5s' })
    t.match(id, UUID)
    const shown = {
      ID: id,
      Name: 'mine',
      Node: 'node0',
      LockDelay: 5e9,
      Behavior: 'release',
      TTL: '90s',
      NodeChecks: [],
      ServiceChecks: null,
      CreateIndex: 1,
      ModifyIndex: 1,
    }
    t.strictSame(await json(get(tcp, `session/info/${id}`)), [shown])
    t.strictSame(await json(get(tcp, 'session/list')), [shown])
    t.strictSame(await json(get(tcp, 'session/node/node0')), [shown])
    t.strictSame(await json(get(tcp, 'session/node/node1')), [])
    t.strictSame(await json(put(tcp, `session/renew/${id}`)), [shown])
    t.equal((await get(tcp, 'session/list')).headers.get('x-consul-index'), '1')
    t.equal((await put(tcp, `session/destroy/${id}`)).body, 'true')
    t.equal((await put(tcp, `session/destroy/${id}`)).body, 'true')
    t.strictSame(await json(get(tcp, `session/info/${id}`)), [])
    const gone = await put(tcp, `session/renew/${id}`)
    t.strictSame([gone.status, gone.body], [404, 'Session id not found'])
    t.equal((await get(tcp, 'session/list')).headers.get('x-consul-index'), '3')
  })

  t.test(`${way}: a lock has one holder, and its index grows with each`, async t => {
    const { tcp } = await serve(t, { ...how })
    const [first, second] = [await create(tcp, { LockDelay: 0 }), await create(tcp)]
    const row = async (): Promise<Record<string, unknown>> =>
      ((await json(get(tcp, 'kv/lock'))) as Record<string, unknown>[])[0] ?? {}
    t.equal((await put(tcp, `kv/lock?acquire=${first}`, 'a')).body, 'true')
    t.match(await row(), { LockIndex: 1, Session: first, ModifyIndex: 3, Value: 'YQ==' })
    t.equal((await put(tcp, `kv/lock?acquire=${second}`, 'b')).body, 'false')
    t.equal((await put(tcp, `kv/lock?acquire=${first}`, 'again')).body, 'true')
    t.match(await row(), { LockIndex: 1, ModifyIndex: 5 })
    t.equal((await put(tcp, 'kv/lock', 'anybody may write')).body, 'true')
    t.match(await row(), { Session: first })
    t.equal((await put(tcp, `kv/lock?release=${second}`)).body, 'false')
    t.equal((await put(tcp, `kv/lock?release=${first}`, 'c')).body, 'true')
    t.notOk('Session' in (await row()))
    const taken = await put(tcp, `kv/lock?acquire=${second}`, 'd')
    t.equal(taken.headers.get('etag'), '"9"', 'the fencing token')
    t.match(await row(), { LockIndex: 2, Session: second, ModifyIndex: 9 })
    t.equal((await put(tcp, 'kv/lock?acquire=nobody', 'e')).status, 400)
    t.match(await row(), { ModifyIndex: 9 })
  })
}

t.test('locks of a session that ends: let go, or gone, and delayed', async t => {
  const { tcp } = await serve(t)
  const keeps = await create(tcp)
  const deletes = await create(tcp, { Behavior: 'delete', LockDelay: 1_000_000_000 })
  const other = await create(tcp, { LockDelay: '0s' })
  await put(tcp, `kv/a?acquire=${keeps}`, 'v')
  await put(tcp, `kv/b?acquire=${deletes}`, 'v')
  await put(tcp, `session/destroy/${keeps}`)
  await put(tcp, `session/destroy/${deletes}`)
  t.match((await get(tcp, 'kv/a')).body, '"Value":"dg=="')
  t.notMatch((await get(tcp, 'kv/a')).body, 'Session')
  t.equal((await get(tcp, 'kv/b')).status, 404)
  for (const key of ['a', 'b']) {
    t.equal((await put(tcp, `kv/${key}?acquire=${other}`, 'v')).body, 'false', 'delayed')
  }
  t.equal((await put(tcp, `kv/c?acquire=${other}`, 'v')).body, 'true')
  await put(tcp, `kv/c?release=${other}`)
  t.equal((await put(tcp, `kv/c?acquire=${other}`, 'v')).body, 'true', 'a release delays nobody')
})

t.test('txn: lock, check-session, unlock', async t => {
  const { tcp } = await serve(t)
  const [Session, other] = [await create(tcp), await create(tcp)]
  const txn = async (...steps: object[]): Promise<[number, unknown]> => {
    const body = JSON.stringify(steps.map(step => ({ KV: { Key: 'l', ...step } })))
    const answer = await put(tcp, 'txn', body)
    return [answer.status, JSON.parse(answer.body)]
  }
  const [locked, first] = await txn({ Verb: 'lock', Session }, { Verb: 'check-session', Session })
  t.equal(locked, 200)
  t.match(first, { Results: [{ KV: { Session, LockIndex: 1 } }, { KV: { Session } }] })
  t.match(await txn({ Verb: 'check-session', Session: other }), [409, { Errors: [{ OpIndex: 0 }] }])
  t.match(await txn({ Verb: 'lock', Session: other }), [409, { Errors: [{ OpIndex: 0 }] }])
  t.match(await txn({ Verb: 'lock', Session: 'none' }), [409, { Errors: [{ What: /session/ }] }])
  t.match(await txn({ Verb: 'unlock', Session: other }), [409, {}])
  t.match(await txn({ Verb: 'unlock', Session }), [200, {}])
})

t.test('bodies and names that are refused, and those that are taken', async t => {
  const { tcp, node } = await serve(t)
  const refused: unknown[] = [
    ...[[], 'x', 7, { TTL: '9s' }, { TTL: '24h1s' }, { TTL: 10 }, { TTL: 'soon' }],
    ...[{ Behavior: 'explode' }, { LockDelay: -1 }, { LockDelay: 'soon' }, { LockDelay: [] }],
    ...[{ Name: 7 }, { Name: 'n'.repeat(256) }, { Name: '\ud800' }, { Node: {} }],
    ...[{ NodeChecks: ['disk'] }, { ServiceChecks: [{ ID: 'web' }] }],
  ]
  for (const body of refused) {
    const text = JSON.stringify(body)
    t.equal((await put(tcp, 'session/create', text)).status, 400, text)
  }
  t.equal((await put(tcp, 'session/create', '{')).status, 400)
  for (const target of ['session/renew/', 'session/destroy/', 'session/renew/a%20b']) {
    t.equal((await put(tcp, target)).status, 400, target)
  }
  t.equal((await get(tcp, 'session/info/')).status, 400)
  t.equal((await get(tcp, 'session/create')).status, 405)
  t.equal(node.proposals, 0)
  const shown = async (body: object): Promise<unknown> =>
    ((await json(get(tcp, `session/info/${await create(tcp, body)}`))) as unknown[])[0]
  t.match(await shown({ LockDelay: 5 }), { LockDelay: 5e9 })
  t.match(await shown({ lockdelay: 2e9, ttl: '24h' }), { LockDelay: 2e9, TTL: '86400s' })
  t.match(await shown({ LockDelay: '10m' }), { LockDelay: 60e9 })
  t.match(await shown({ NodeChecks: ['serfHealth'], Node: 'web-1', Name: 'é' }), { Node: 'web-1' })
  t.match(await shown({ TTL: '', Behavior: '' }), { TTL: '', Behavior: 'release' })
})

t.test('a session asked for twice under one Idempotency-Key is one session', async t => {
  const { tcp } = await serve(t)
  const again = () => put(tcp, 'session/create', '{"Name":"once"}', 'Idempotency-Key: r7')
  const [first, second] = [await again(), await again()]
  t.equal(first.body, second.body)
  t.match((JSON.parse(first.body) as { ID: string }).ID, UUID)
  t.equal(((await json(get(tcp, 'session/list'))) as unknown[]).length, 1)
})
