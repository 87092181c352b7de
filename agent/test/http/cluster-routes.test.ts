import type { NetConnectOpts } from 'node:net'
import t from 'tap'
import type { ChangeOutcome } from '../../src/node/outcome.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { type Harness, serve } from './harness.ts'
import { type Answer, request } from './raw-client.ts'

const node3 = '{"id":"node3","addr":"127.0.0.1:8486"}'

const join = (where: NetConnectOpts, body: string, ...headers: string[]): Promise<Answer> =>
  request(where, 'POST /join', { body, headers })
const json = (answer: Answer): Record<string, unknown> =>
  JSON.parse(answer.body) as Record<string, unknown>

t.test('POST /join asks for a learner, and tells who is there', async t => {
  const { node, tcp } = await serve(t)
  for (const line of ['POST /join', 'POST /v1/cluster/members']) {
    const answer = await request(tcp, line, { body: node3 })
    t.equal(answer.status, 200)
    t.match(json(answer), {
      leader: 'node0',
      members: [{ id: 'node0', raftBind: '127.0.0.1:8186', role: 'voter' }, {}, {}],
    })
  }
  node.outcome = { kind: 'unchanged' }
  const edge = '{"id":"node3","addr":"node-3.example:1","voter":false}'
  t.equal((await join(tcp, edge)).status, 200, 'asked again')
  t.same(node.changes, [
    { kind: 'add', id: 'node3', raftBind: '127.0.0.1:8486', edge: false },
    { kind: 'add', id: 'node3', raftBind: '127.0.0.1:8486', edge: false },
    { kind: 'add', id: 'node3', raftBind: 'node-3.example:1', edge: true },
  ])
})

t.test('exactly these fields, or 400', async t => {
  const { node, tcp } = await serve(t)
  for (const body of [
    '',
    '{}',
    '[]',
    'null',
    '{"id":"node3"}',
    '{"addr":"a:1"}',
    '{"id":"node3","addr":"a:1","more":1}',
    '{"id":"node3","addr":"a:1","voter":"no"}',
    '{"id":"node 3","addr":"a:1"}',
    '{"id":".","addr":"a:1"}',
    '{"id":"..","addr":"a:1"}',
    `{"id":"${'x'.repeat(65)}","addr":"a:1"}`,
    '{"id":"node3","addr":"a"}',
    '{"id":"node3","addr":":1"}',
    '{"id":"node3","addr":"a:0"}',
    '{"id":"node3","addr":"a:65536"}',
    `{"id":"node3","addr":"${'x'.repeat(254)}:1"}`,
    '{"id":3,"addr":"a:1"}',
    '{"id":"node3","addr":"a:1"',
  ]) {
    const answer = await join(tcp, body)
    t.equal(answer.status, 400, body)
    t.match(json(answer), { code: 'BAD_BODY' })
  }
  t.equal((await join(tcp, 'x'.repeat(17_000))).status, 413)
  t.equal((await join(tcp, node3, 'Content-Type: text/plain')).status, 415)
  t.same(node.changes, [])
})

t.test('what becomes of a change', async t => {
  const { node, tcp } = await serve(t)
  const table: readonly [ChangeOutcome, number, object][] = [
    [
      { kind: 'refused', why: 'node3 is a member at a:1' },
      409,
      { code: 'BAD_CHANGE', detail: 'node3 is a member at a:1' },
    ],
    [{ kind: 'change-pending' }, 503, { code: 'CHANGE_PENDING', retryable: true }],
    [{ kind: 'overloaded' }, 503, { code: 'OVERLOADED' }],
    [{ kind: 'no-room' }, 503, { code: 'NO_SPACE', retryable: true }],
    [{ kind: 'unknown' }, 504, { code: 'COMMIT_UNKNOWN' }],
    [{ kind: 'no-leader' }, 503, { code: 'NO_LEADER' }],
  ]
  for (const [outcome, status, problem] of table) {
    node.outcome = outcome
    const answer = await join(tcp, node3)
    t.equal(answer.status, status)
    t.equal(answer.headers.get('retry-after'), status === 503 ? '1' : undefined)
    t.match(json(answer), problem)
  }
  node.leader = null
  t.equal((await join(tcp, node3)).status, 503)
})

t.test('members leave, are promoted, and hand over', async t => {
  const { node, tcp } = await serve(t)
  const status = async (line: string, body = '') => (await request(tcp, line, { body })).status
  t.equal(await status('DELETE /v1/cluster/members/node1'), 200)
  t.equal(await status('POST /v1/cluster/members/node1/promote'), 200)
  t.equal(await status('PUT /v1/cluster/voters', '{"voters":["node0","node2"]}'), 200)
  t.same(node.changes, [
    { kind: 'remove', id: 'node1' },
    { kind: 'promote', id: 'node1' },
    { kind: 'reconfigure', voters: ['node0', 'node2'] },
  ])
  t.equal(await status('DELETE /v1/cluster/members/node1?incarnation=i-1'), 409, 'it runs')
  node.connected = false
  t.equal(await status('DELETE /v1/cluster/members/node1?incarnation=i-1'), 200)
  t.same(node.changes.at(-1), { kind: 'remove', id: 'node1', incarnation: 'i-1' })
  t.equal(node.confirmations, 1, 'and what is answered is what the cluster has now')
  node.cutOff = true
  t.equal(await status('DELETE /v1/cluster/members/node1?incarnation=i-2'), 503)
  t.equal(node.changes.length, 4, 'without a majority nothing is said of members')
  node.cutOff = false
  const twice = '{"voters":["node0","node0"]}'
  const wrong = ['', '{}', '{"voters":[]}', '{"voters":[""]}', '{"voters":["a"],"x":1}', twice]
  for (const body of wrong) {
    t.equal(await status('PUT /v1/cluster/voters', body), 400, body)
  }
  for (const line of [
    'DELETE /v1/cluster/members/',
    'DELETE /v1/cluster/members/a%20b',
    'DELETE /v1/cluster/members/a/b',
    'POST /v1/cluster/members/a/promote/now',
    'POST /v1/cluster/members//promote',
    'GET /v1/cluster',
  ]) {
    t.equal(await status(line), 404, line)
  }
  for (const [line, allow] of [
    ['PUT /v1/cluster/members', 'GET, HEAD, POST'],
    ['GET /v1/cluster/members/node1', 'DELETE'],
    ['GET /v1/cluster/members/node1/promote', 'POST'],
    ['POST /v1/cluster/voters', 'PUT'],
    ['GET /v1/cluster/leader', 'POST'],
  ] as const) {
    const answer = await request(tcp, line)
    t.equal(answer.status, 405, line)
    t.equal(answer.headers.get('allow'), allow, line)
  }
  t.equal(await status('POST /v1/cluster/leader'), 503, 'nobody took over')
  node.transferred = { kind: 'refused', why: 'node9 does not vote' }
  t.equal(await status('POST /v1/cluster/leader', '{"id":"node9"}'), 409)
  node.transferred = { kind: 'done', leader: asNodeId('node1') }
  const done = await request(tcp, 'POST /v1/cluster/leader', { body: '{"id":"node1"}' })
  t.same(json(done), { leader: 'node1' })
  t.equal(await status('POST /v1/cluster/leader', '{"to":"node1"}'), 400)
  t.equal(node.changes.length, 4)
})

t.test('none of it is for the nginx beside the agent', async t => {
  const { node, tcp, unix } = await serve(t)
  for (const line of [
    'POST /join',
    'GET /v1/cluster/members',
    'POST /v1/cluster/members',
    'DELETE /v1/cluster/members/node1',
    'POST /v1/cluster/members/node1/promote',
    'PUT /v1/cluster/voters',
    'POST /v1/cluster/leader',
    'GET /v1/cluster',
    'GET /v1/cluster/nothing',
    'DELETE /v1/cluster/members/a%20b',
  ]) {
    const answer = await request(unix, line, line.startsWith('POST') ? { body: node3 } : {})
    t.equal(answer.status, 403, line)
    t.match(json(answer), { code: 'OPERATORS_ONLY' })
  }
  const forwarded = await request(tcp, 'GET /v1/cluster/members', { headers: ['X-Raft-Hop: 1'] })
  t.equal(forwarded.status, 403, 'nor for the nginx of another node')
  t.same(node.changes, [])
  t.equal((await request(tcp, 'GET /v1/cluster/members')).status, 200)
})

/** A follower, and the agent that leads it. */
async function pair(
  t: Parameters<typeof serve>[0],
): Promise<{ follower: Harness; leader: Harness }> {
  const [follower, leader] = [await serve(t), await serve(t)]
  follower.node.leader = 'node1'
  follower.node.members = follower.node.members.map(member =>
    member.id === 'node1' ? { ...member, address: `127.0.0.1:${leader.http.port}` } : member,
  )
  return { follower, leader }
}

t.test('a follower passes on to the leader, once', async t => {
  const { follower, leader } = await pair(t)
  const answer = await join(follower.tcp, node3)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('x-raft-leader'), 'node1')
  t.match(json(answer), { members: [{ id: 'node0' }, {}, {}] })
  leader.node.outcome = { kind: 'change-pending' }
  const pending = await request(follower.tcp, 'DELETE /v1/cluster/members/node2')
  t.equal(pending.status, 503)
  t.equal(pending.headers.get('retry-after'), '1')
  t.match(json(pending), { code: 'CHANGE_PENDING' })
  leader.node.transferred = { kind: 'done', leader: asNodeId('node0') }
  const moved = await request(follower.tcp, 'POST /v1/cluster/leader', { body: '{"id":"node0"}' })
  t.same(json(moved), { leader: 'node0' })
  t.match(leader.node.changes, [{ kind: 'add', id: 'node3', edge: false }, { kind: 'remove' }])

  const guarded = 'DELETE /v1/cluster/members/node2?incarnation=i-2'
  t.equal((await request(follower.tcp, guarded)).status, 503)
  t.match(leader.node.changes.at(-1), { id: 'node2', incarnation: 'i-2' }, 'with its query')

  leader.node.leader = 'node2'
  t.equal((await join(follower.tcp, node3)).status, 421, 'it does not lead either')
  const hop = await join(follower.tcp, node3, 'X-Raft-Passed-On: 1')
  t.equal(hop.status, 421, 'not passed on again')
  t.equal(leader.node.changes.length, 4)
})

t.test('a leader whose agent does not answer may have done it all the same', async t => {
  const { follower, leader } = await pair(t)
  await leader.http.close()
  const answer = await join(follower.tcp, node3)
  t.equal(answer.status, 504)
  t.match(json(answer), { code: 'COMMIT_UNKNOWN' })
})
