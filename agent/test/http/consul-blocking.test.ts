import type { NetConnectOpts } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { serve } from './harness.ts'
import { type Answer, request } from './raw-client.ts'

const get = (where: NetConnectOpts, target: string): Promise<Answer> =>
  request(where, `GET /v1/${target}`)
const put = (where: NetConnectOpts, target: string, body = ''): Promise<Answer> =>
  request(where, `PUT /v1/${target}`, { body })

/** The answer if it came within `ms`, else null; the question goes on. */
function within(answer: Promise<Answer>, ms: number): Promise<Answer | null> {
  return Promise.race([answer, pause(ms, null)])
}

t.test('answered at once when the index is past, else by the change that concerns it', async t => {
  const { tcp } = await serve(t)
  await put(tcp, 'kv/a/1', 'v')
  t.equal((await get(tcp, 'kv/a/1?index=0&wait=60s')).status, 200)
  t.match(await within(get(tcp, 'kv/none?index=1&wait=150ms'), 5_000), { status: 404 }, 'waited')
  const key = get(tcp, 'kv/a/1?index=1&wait=60s')
  const prefix = get(tcp, 'kv/a?recurse&index=1&wait=60s')
  const names = get(tcp, 'kv/a/?keys&index=1&wait=60s')
  await put(tcp, 'kv/b', 'v')
  await put(tcp, 'kv/a/1', 'v')
  t.equal(await within(Promise.race([key, prefix, names]), 100), null, 'nothing of theirs changed')
  await put(tcp, 'kv/a/1', 'w')
  t.equal((await key).headers.get('x-consul-index'), '4')
  t.equal((await prefix).headers.get('x-consul-index'), '4')
  t.equal((await names).headers.get('x-consul-index'), '4')
})

t.test('deletions and creations wake whoever waits for them', async t => {
  const { tcp } = await serve(t)
  await put(tcp, 'kv/a/1', 'v')
  const key = get(tcp, 'kv/a/1?index=1&wait=60s')
  const prefix = get(tcp, 'kv/a?recurse&index=1&wait=60s')
  await within(key, 50)
  await request(tcp, 'DELETE /v1/kv/a?recurse')
  t.match(await key, { status: 404 })
  t.match(await prefix, { status: 404 })
  t.equal((await key).headers.get('x-consul-index'), '2')
  const made = get(tcp, 'kv/a/1?index=2&wait=60s')
  await within(made, 50)
  await put(tcp, 'kv/a/1', 'v')
  t.match(await made, { status: 200 })
  const sessions = get(tcp, 'session/list?index=1&wait=60s')
  await within(sessions, 50)
  await put(tcp, 'session/create')
  t.match((await sessions).body, 'node0')
})

t.test('a refused comparison wakes nobody', async t => {
  const { tcp } = await serve(t)
  await put(tcp, 'kv/a', 'v')
  const waiting = get(tcp, 'kv/a?index=1&wait=60s')
  await within(waiting, 50)
  t.equal((await put(tcp, 'kv/a?cas=9', 'w')).body, 'false')
  const body = '[{"KV":{"Verb":"set","Key":"a","Value":"dw=="}},{"KV":{"Verb":"get","Key":"no"}}]'
  t.equal((await put(tcp, 'txn', body)).status, 409)
  t.equal(await within(waiting, 100), null)
  await put(tcp, 'kv/a?cas=1', 'w')
  t.equal((await waiting).headers.get('x-consul-index'), '4')
})

t.test('an unchanged answer keeps its index when the wait is over', async t => {
  const { tcp } = await serve(t)
  await put(tcp, 'kv/a', 'v')
  await put(tcp, 'kv/b', 'v')
  const unchanged = await get(tcp, 'kv/a?index=1&wait=100ms')
  t.equal(unchanged.headers.get('x-consul-index'), '1')
  const ahead = await get(tcp, 'kv/a?index=1000&wait=100ms')
  t.equal(
    ahead.headers.get('x-consul-index'),
    '1',
    'an index of another history: told, to begin anew',
  )
})

t.test('whoever leaves is forgotten; the end of the server answers the rest', async t => {
  const { tcp, http, node } = await serve(t)
  const socket = connect(tcp)
  socket.write('GET /v1/kv/a?index=1&wait=60s HTTP/1.1\r\nHost: a\r\n\r\n')
  await pause(100)
  t.equal(node.machine.changes.listening, 1)
  socket.destroy()
  while (node.machine.changes.listening > 0) await pause(5)
  const waiting = get(tcp, 'kv/a?index=1&wait=60s')
  await within(waiting, 50)
  await http.close()
  t.match(await within(waiting, 5_000), { status: 404 })
  t.equal(node.machine.changes.listening, 0)
})

t.test(
  'attack 41: more waiting than one agent takes are refused, and others are served',
  async t => {
    const { tcp } = await serve(t, { limits: { followersMax: 5 } })
    const waiting = Array.from({ length: 5 }, () => get(tcp, 'kv/a?index=1&wait=60s'))
    await pause(100)
    const refused = await get(tcp, 'kv/a?index=1&wait=60s')
    t.equal(refused.status, 429)
    t.equal(refused.headers.get('retry-after'), '1')
    t.equal((await get(tcp, 'kv/a')).status, 404)
    await put(tcp, 'kv/a', 'v')
    await put(tcp, 'kv/a', 'w')
    for (const answer of waiting) t.match(await answer, { status: 200 })
    t.equal((await get(tcp, 'kv/a?index=1&wait=60s')).status, 200, 'their places are free again')
  },
)
