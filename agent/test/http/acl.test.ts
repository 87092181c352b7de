import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { bootstrap, create, send } from './acl-parts.ts'
import { EventStream } from './event-stream.ts'
import { serve } from './harness.ts'
import { raw, request } from './raw-client.ts'

/** Keys app/a, app/secret/s, other and public/p; a token for app/ without app/secret/, and one that reads everything. */
async function fleet(t: Test, settings: Parameters<typeof serve>[1] = {}) {
  const h = await serve(t, settings)
  const { tcp } = h
  const pairs = { 'app/a': '1', 'app/secret/s': '2', other: '3', 'public/p': '4' }
  await request(tcp, 'POST /key', { body: JSON.stringify(pairs) })
  const admin = (await bootstrap(tcp)).secret
  const app = await create(tcp, admin, {
    rules: [
      { prefix: 'app/', access: 'write' },
      { prefix: 'app/secret/', access: 'deny' },
    ],
  })
  const reader = (await create(tcp, admin, { rules: [{ prefix: '', access: 'read' }] })).secret
  const as = (token: string | null) => (line: string, body?: string, headers?: readonly string[]) =>
    send(tcp, token, { line, ...(body !== undefined && { body }), ...(headers && { headers }) })
  return {
    ...h,
    admin: as(admin),
    app: as(app.secret),
    reader: as(reader),
    nobody: as(null),
    token: app,
    as,
  }
}

const ANONYMOUS = '/v1/cluster/acl/tokens/anonymous'
const codeOf = ({ body }: { body: string }) => (JSON.parse(body) as { code: string }).code

t.test('row 29: no token, a wrong one, a huge one, two', async t => {
  const { tcp, token, nobody } = await fleet(t)
  const get = (...headers: string[]) => request(tcp, 'GET /key/app%2Fa', { headers })
  const none = await nobody('GET /key/app%2Fa')
  t.equal(none.status, 401)
  t.equal(none.headers.get('www-authenticate'), 'Bearer')
  t.equal(codeOf(none), 'TOKEN_NEEDED')
  const { secret } = token
  const wrong = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`
  t.equal(codeOf(await get(`Authorization: Bearer ${wrong}`)), 'BAD_TOKEN')
  t.equal((await get('X-Consul-Token: short')).status, 401)
  t.equal((await get(`Authorization: Bearer ${'x'.repeat(1024 * 1024)}`)).status, 431)
  t.equal(
    (await get(`Authorization: Bearer ${'x'.repeat(HTTP_LIMITS.headBytesMax / 2)}`)).status,
    431,
  )
  const good = `Authorization: Bearer ${secret}`
  t.equal((await get(good)).status, 200)
  t.equal((await get(good, good)).status, 400)
  t.equal((await get(good, `X-Consul-Token: ${wrong}`)).status, 400)
  t.equal((await get(good, `X-Consul-Token: ${secret}`)).status, 200)
  t.equal((await get('Authorization: Basic dTpw', `X-Consul-Token: ${secret}`)).status, 200)
  const query = await request(tcp, `GET /key/app%2Fa?token=${secret}`)
  t.equal(codeOf(query), 'TOKEN_IN_QUERY')
})

t.test('row 28: of two pipelined requests each needs its own token', async t => {
  const { tcp, token } = await fleet(t)
  const head = 'GET /key/app%2Fa HTTP/1.1\r\nHost: a\r\n'
  const second = `${head}Connection: close\r\n\r\n`
  const answer = await raw(tcp, `${head}X-Consul-Token: ${token.secret}\r\n\r\n${second}`)
  t.match(answer.raw, /^HTTP\/1\.1 200 /)
  t.equal(answer.status, 401)
})

t.test('row 30: rules decide key by key, and what may not be happens not at all', async t => {
  const { app, reader, admin, node } = await fleet(t)
  const before = node.proposals
  t.equal((await reader('PUT /v1/kv/other', 'x')).status, 403)
  t.equal((await reader('POST /key', '{"new":"1"}')).status, 403)
  t.equal((await app('POST /key', '{"app/b":"1","other":"1"}')).status, 403)
  t.equal((await app('GET /key/app%2Fsecret%2Fs')).status, 403)
  t.equal((await app('GET /v1/kv/app/secret/s')).status, 403)
  t.equal((await app('DELETE /v1/kv/app/?recurse')).status, 403, 'a part of it is denied')
  t.equal((await app('DELETE /v1/kv/?recurse')).status, 403)
  const step = (Verb: string, Key: string) => ({ KV: { Verb, Key, Value: '' } })
  const txn = (...steps: object[]) => app('PUT /v1/txn', JSON.stringify(steps))
  t.equal((await txn(step('set', 'app/b'), step('set', 'other'))).status, 403)
  t.equal((await txn(step('set', 'app/b'), step('get', 'app/secret/s'))).status, 403)
  t.equal((await txn(step('set', 'app/b'), step('check-not-exists', 'other'))).status, 403)
  t.equal((await txn(step('set', 'app/b'), step('delete-tree', 'app/'))).status, 403)
  t.equal(node.proposals, before, 'nothing of it reached the log')
  t.equal((await txn(step('set', 'app/b'), step('get-tree', 'app/'))).status, 200)
  t.equal((await app('DELETE /v1/kv/app/b?recurse')).status, 200)
  t.equal((await admin('DELETE /v1/kv/?recurse')).status, 200)
})

t.test('lists show what may be read, and nothing that tells of the rest', async t => {
  const { app, reader } = await fleet(t)
  const text = async (line: string, by = app) => (await by(line)).body
  t.equal(await text('GET /v1/kv/?keys'), '["app/a"]')
  t.equal(await text('GET /v1/kv/app/?keys&separator=/'), '["app/a"]')
  t.equal(await text('GET /v1/kv/app/?keys&separator=/', reader), '["app/a","app/secret/"]')
  const rows = JSON.parse(await text('GET /v1/kv/?recurse')) as { Key: string }[]
  t.strictSame(
    rows.map(({ Key }) => Key),
    ['app/a'],
  )
  t.equal((await app('GET /v1/kv/other?recurse')).status, 403)
  const txn = '[{"KV":{"Verb":"get-tree","Key":""}}]'
  const { Results } = JSON.parse((await app('PUT /v1/txn', txn)).body) as { Results: object[] }
  t.match(Results, [{ KV: { Key: 'app/a' } }])
  t.equal(Results.length, 1)
})

t.test('anybody may do what the rules of anonymous say', async t => {
  const { nobody, admin } = await fleet(t)
  t.equal((await nobody('GET /key/public%2Fp')).status, 401)
  const rules = JSON.stringify({ rules: [{ prefix: 'public/', access: 'read' }] })
  t.equal((await admin(`PUT ${ANONYMOUS}`, rules)).status, 200)
  t.equal((await nobody('GET /key/public%2Fp')).status, 200)
  t.equal((await nobody('GET /key/other')).status, 401)
  t.equal((await nobody('PUT /v1/kv/public/p', 'x')).status, 401)
  t.equal((await nobody('GET /status')).status, 401)
  t.equal((await nobody('GET /status?brief=1')).status, 200, 'gateways ask who leads')
  t.equal((await admin(`PUT ${ANONYMOUS}`, '{"role":"admin"}')).status, 400)
})

t.test(
  'a token that is taken back, or changed, is so for the next request, and for those that wait',
  async t => {
    const { app, admin, token, tcp } = await fleet(t)
    const stream = new EventStream(tcp, '/v1/watch?prefix=', { 'X-Consul-Token': token.secret })
    t.teardown(() => stream.close())
    const until = async (check: () => boolean) => {
      while (!check()) await new Promise(resolve => setImmediate(resolve))
    }
    await until(() => stream.events.length > 0)
    await admin('POST /key', '{"app/a":"5","app/secret/s":"6","other":"7"}')
    await until(() => stream.changes.length > 0)
    t.match(stream.changes[0]?.changes, [{ key: 'app/a' }])
    t.equal(stream.changes[0]?.changes.length, 1)
    const index = (await app('GET /v1/kv/app/a')).headers.get('x-consul-index')
    const waiting = app(`GET /v1/kv/app/a?index=${index}&wait=5m`)
    t.equal((await app('GET /key/app%2Fa')).status, 200)
    t.equal((await admin(`DELETE /v1/cluster/acl/tokens/${token.accessor}`)).status, 200)
    t.equal((await app('GET /key/app%2Fa')).status, 401)
    await admin('POST /key', '{"app/a":"8"}')
    await until(() => stream.ended)
    t.match(stream.events.at(-1), { event: 'dropped', data: '{"reason":"forbidden"}' })
    t.equal((await waiting).status, 401)
  },
)

t.test(
  'row 43: a token ends by the log’s time, or by this machine’s with some leeway; Date is nothing',
  async t => {
    let wall = 1_000_000
    const { admin, as, tcp } = await fleet(t, { wallMs: () => wall })
    const made = await admin(
      'POST /v1/cluster/acl/tokens',
      JSON.stringify({ rules: [{ prefix: '', access: 'read' }], ttl: '60s' }),
    )
    const { secret, accessor } = JSON.parse(made.body) as { secret: string; accessor: string }
    const mortal = as(secret)
    const get = () => mortal('GET /key/other', undefined, ['Date: Thu, 01 Jan 1970 00:00:00 GMT'])
    wall += 60_000 + 29_999
    t.equal((await get()).status, 200, 'within the leeway')
    wall += 1
    t.equal((await get()).status, 401)
    const { body } = await admin(`GET /v1/cluster/acl/tokens/${accessor}`)
    t.match(JSON.parse(body), { expired: true, expires: '1970-01-01T00:17:40.000Z' })
    wall = 0
    t.equal((await get()).status, 200, 'a clock that was set back')
    t.equal((await request(tcp, 'GET /key/other')).status, 401)
  },
)

t.test('sessions are whose they are', async t => {
  const { app, reader, admin, as, tcp, nobody } = await fleet(t)
  t.equal((await reader('PUT /v1/session/create', '{}')).status, 403)
  t.equal((await nobody('PUT /v1/session/create', '{}')).status, 401)
  const { ID } = JSON.parse((await app('PUT /v1/session/create', '{}')).body) as { ID: string }
  t.match(ID, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
  const rules = [{ prefix: 'b/', access: 'write' as const }]
  const secret = JSON.parse(
    (await admin('POST /v1/cluster/acl/tokens', JSON.stringify({ rules }))).body,
  ).secret as string
  const other = as(secret)
  t.equal((await other(`PUT /v1/session/destroy/${ID}`)).status, 403)
  t.equal((await other(`PUT /v1/session/renew/${ID}`)).status, 403)
  t.equal((await other('GET /v1/session/list')).body, '[]')
  t.equal((await app(`PUT /v1/session/renew/${ID}`)).status, 200)
  t.equal((await app(`PUT /v1/kv/app/lock?acquire=${ID}`, 'x')).body, 'true')
  t.equal((await other(`PUT /v1/kv/app/lock?release=${ID}`, 'x')).status, 403)
  t.equal((await app(`PUT /v1/session/destroy/${ID}`)).status, 200)
  t.ok(tcp)
})

t.test('an Idempotency-Key is its token’s', async t => {
  const { app, admin } = await fleet(t)
  const key = ['Idempotency-Key: one']
  t.equal((await app('PUT /v1/kv/app/i', '1', key)).status, 200)
  t.equal((await app('PUT /v1/kv/app/i', '1', key)).status, 200)
  const stranger = await admin('PUT /v1/kv/app/i', '1', key)
  t.equal(stranger.status, 422, 'the same request of somebody else')
})

t.test('the first token is given once; who owns the files may have another', async t => {
  const { admin, nobody, directory, app } = await fleet(t)
  const again = await nobody('POST /v1/cluster/acl/bootstrap')
  t.equal(again.status, 403)
  t.equal(codeOf(again), 'BOOTSTRAPPED')
  writeFileSync(join(directory, 'acl-bootstrap-reset'), '')
  t.equal((await nobody('POST /v1/cluster/acl/bootstrap')).status, 200)
  t.notOk(existsSync(join(directory, 'acl-bootstrap-reset')))
  t.equal((await nobody('POST /v1/cluster/acl/bootstrap')).status, 403)
  t.equal((await admin('PUT /v1/cluster/acl', '{"enabled":false}')).status, 200)
  t.equal((await nobody('GET /key/other')).status, 200)
  t.equal((await app('GET /key/other')).status, 200)
  t.equal((await nobody('PUT /v1/cluster/acl', '{"enabled":true}')).status, 200)
  t.equal((await nobody('GET /key/other')).status, 401)
})

t.test('the last admin’s token stays, and with it the way back', async t => {
  const { admin } = await fleet(t)
  const { body } = await admin('GET /v1/cluster/acl/tokens')
  const { tokens } = JSON.parse(body) as { tokens: { accessor: string; role: string }[] }
  const own = tokens.find(({ role }) => role === 'admin')?.accessor
  t.equal((await admin(`DELETE /v1/cluster/acl/tokens/${own}`)).status, 409)
  t.equal((await admin(`PUT /v1/cluster/acl/tokens/${own}`, '{"role":"client"}')).status, 409)
  t.equal((await admin(`PUT /v1/cluster/acl/tokens/${own}`, '{"ttl":"1h"}')).status, 409)
  t.notMatch(body, /"hash"|"secret"/)
})

t.test('tokens are in no list, no value, and not to be deleted as keys', async t => {
  const { admin } = await fleet(t)
  for (const line of ['GET /v1/kv/?recurse', 'GET /v1/kv/?keys', 'GET /v1/watch?prefix=%00acl']) {
    t.notMatch((await admin(line)).body, /acl/, line)
  }
  for (const line of [
    'GET /key/%00acl%2Fswitch',
    'DELETE /key/%00acl%2Fswitch',
    'GET /v1/kv/%00acl/switch',
  ]) {
    t.equal((await admin(line)).status, 400, line)
  }
  const txn = JSON.stringify([{ KV: { Verb: 'delete', Key: '\0acl/switch' } }])
  t.equal((await admin('PUT /v1/txn', txn)).status, 400)
  t.equal((await admin('POST /key', JSON.stringify({ '\0acl/switch': '{}' }))).status, 400)
  t.equal((await admin('DELETE /v1/kv/?recurse')).status, 200)
  t.equal((await admin('GET /v1/cluster/acl')).status, 200)
  t.match(JSON.parse((await admin('GET /v1/cluster/acl')).body), { enabled: true, tokens: 3 })
})

t.test('where the tokens cannot be read, nobody is let in, and health is still told', async t => {
  const h = await serve(t)
  await bootstrap(h.tcp)
  h.node.machine.changes.note({ reserved: true, timeMs: 0 })
  await h.node.machine.close()
  t.equal((await request(h.tcp, 'GET /key/a')).status, 503)
  t.equal((await request(h.tcp, 'GET /metrics')).status, 503)
  t.equal((await request(h.tcp, 'GET /livez')).status, 200)
})
