import t from 'tap'
import type { Rule } from '../../src/acl/rules.ts'
import { StructureDesk } from '../../src/http/structure-view.ts'
import { bootstrap, create, send } from './acl-parts.ts'
import { serve, WAYS } from './harness.ts'
import { parseMetrics } from './metrics-text.ts'
import { request } from './raw-client.ts'

const REPORT = {
  state: 'rejected',
  index: 7,
  tried: 9,
  error: 'unknown directive "secret"',
  warning: null,
  since: 1_000,
} as const

t.test('what a companion tells is in /status and /metrics, until it is silent', async t => {
  let now = 0
  const structure = new StructureDesk('nginx/', () => now)
  const { tcp, unix } = await serve(t, { structure })
  const shown = async (where = tcp) =>
    JSON.parse((await request(where, 'GET /status')).body).structure
  t.match(await shown(), { state: 'none', index: null, toldMs: null })
  const told = await request(tcp, 'PUT /v1/cluster/structure', { body: JSON.stringify(REPORT) })
  t.equal(told.status, 200)
  t.strictSame(JSON.parse(told.body), { prefix: 'nginx/' })
  t.same(await shown(), { ...REPORT, prefix: 'nginx/', toldMs: 0 })
  t.notMatch((await request(unix, 'GET /status')).body, 'secret', 'clients are not told why')
  t.match(await shown(unix), { state: 'rejected', index: 7, tried: 9 })
  const { samples } = parseMetrics((await request(tcp, 'GET /metrics')).body)
  t.equal(samples.get('raft_nginx_structure_state{state="rejected"}'), 1)
  t.equal(samples.get('raft_nginx_structure_state{state="ok"}'), 0)
  t.equal(samples.get('raft_nginx_structure_index'), 7)
  t.equal(samples.get('raft_nginx_structure_tried_index'), 9)
  now = 15_001
  t.match(await shown(), { state: 'lost', index: 7, toldMs: 15_001 })
})

t.test('a report is taken from operators only, and where the feature is on', async t => {
  const on = await serve(t, { structure: new StructureDesk('nginx/') })
  const body = JSON.stringify(REPORT)
  const put = 'PUT /v1/cluster/structure'
  t.equal((await request(on.unix, put, { body })).status, 403)
  t.equal((await request(on.tcp, put, { body, headers: ['X-Raft-Hop: 1'] })).status, 403)
  for (const wrong of ['', '[]', '{"state":"ok"}', body.replace('rejected', 'none')]) {
    t.equal((await request(on.tcp, put, { body: wrong })).status, 400, wrong)
  }
  const off = await serve(t)
  const refused = await request(off.tcp, put, { body })
  t.equal(refused.status, 409)
  t.match(refused.body, 'STRUCTURE_OFF')
  t.equal(JSON.parse((await request(off.tcp, 'GET /status')).body).structure, null)
})

t.test('where tokens count, only who may read all of the keys follows them', async t => {
  const { tcp } = await serve(t, { structure: new StructureDesk('nginx/') })
  const { secret: admin } = await bootstrap(tcp)
  const report = { line: 'PUT /v1/cluster/structure', body: JSON.stringify(REPORT) }
  const status = async (...rules: Rule[]) => {
    const { secret } = await create(tcp, admin, { rules })
    return (await send(tcp, secret, report)).status
  }
  t.equal((await send(tcp, null, report)).status, 401)
  t.equal(await status({ prefix: 'nginx/', access: 'read' }), 200)
  t.equal(await status({ prefix: 'nginx/http.d/', access: 'read' }), 403)
  const allBut: Rule[] = [
    { prefix: '', access: 'write' },
    { prefix: 'nginx/certs/', access: 'deny' },
  ]
  t.equal(await status(...allBut), 403)
})

for (const { way, ...how } of WAYS) {
  t.test(`reserved keys are neither read nor written through a gateway (${way})`, async t => {
    const { tcp, unix, node } = await serve(t, { ...how, reserved: Buffer.from('nginx/') })
    const txn = (verb: string, key: string) => ({
      line: 'PUT /v1/txn',
      body: JSON.stringify([
        { KV: { Verb: 'get-or-empty', Key: 'other' } },
        { KV: { Verb: verb, Key: key, Value: '' } },
      ]),
    })
    const touching: readonly { readonly line: string; readonly body?: string }[] = [
      { line: 'POST /key', body: '{"other":"1","nginx/http.d/a.conf":"2"}' },
      { line: 'POST /key', body: '{"nginx\\u002fa":"2"}' },
      { line: 'GET /key/nginx%2fcerts%2Fa.key' },
      { line: 'GET /key/ngin%78%2Fa?stale' },
      { line: 'DELETE /key/nginx%2Fa' },
      { line: 'GET /v1/kv/nginx/certs/a.key?raw' },
      { line: 'PUT /v1/kv/nginx/a', body: 'v' },
      { line: 'PUT /v1/kv/nginx/a?acquire=s', body: 'v' },
      { line: 'DELETE /v1/kv/nginx/a' },
      { line: 'GET /v1/kv/nginx/?recurse' },
      { line: 'GET /v1/kv/?recurse' },
      { line: 'GET /v1/kv/n?keys' },
      { line: 'DELETE /v1/kv/?recurse' },
      { line: 'DELETE /v1/kv/ngi?recurse' },
      { line: 'GET /v1/watch?prefix=nginx/' },
      { line: 'GET /v1/watch' },
      txn('get', 'nginx/a'),
      txn('set', 'nginx/a'),
      txn('get-tree', ''),
      txn('delete-tree', 'ngin'),
    ]
    for (const { line, body = '' } of touching) {
      const answer = await request(unix, line, { body })
      t.equal(answer.status, 403, `${line} ${body}`)
      const hop = await request(tcp, line, { body, headers: ['X-Raft-Hop: 1'] })
      t.equal(hop.status, 403, `forwarded: ${line} ${body}`)
    }
    t.strictSame(node.keys(), [], 'nothing was written')
    const free: readonly { readonly line: string; readonly body?: string }[] = [
      { line: 'POST /key', body: '{"nginx":"1","nginx-":"2"}' },
      { line: 'GET /key/nginx' },
      { line: 'GET /v1/kv/nginx-?recurse' },
      { line: 'GET /v1/kv/ngin', body: '' },
      txn('set', 'nginy'),
    ]
    for (const { line, body = '' } of free) {
      t.not((await request(unix, line, { body })).status, 403, `${line} ${body}`)
    }
    const operators = await request(tcp, 'PUT /v1/kv/nginx/http.d/a.conf', { body: '#' })
    t.equal(operators.status, 200)
    t.equal((await request(tcp, 'GET /v1/kv/?recurse')).status, 200)
  })
}
