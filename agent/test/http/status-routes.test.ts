import type { NetConnectOpts } from 'node:net'
import t from 'tap'
import { serve } from './harness.ts'
import { type Answer, raw, request } from './raw-client.ts'

const get = (where: NetConnectOpts, target: string, ...headers: string[]): Promise<Answer> =>
  request(where, `GET ${target}`, { headers })

t.test('GET /status has the shape of hraftd, and more', async t => {
  const { node, tcp } = await serve(t)
  node.leader = 'node2'
  const answer = await get(tcp, '/status')
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.match(JSON.parse(answer.body), {
    me: { id: 'node0', address: '127.0.0.1:8185' },
    leader: { id: 'node2', address: '127.0.0.1:8385' },
    followers: [{ id: 'node0' }, { id: 'node1' }],
    voters: ['node0', 'node1', 'node2'],
    learners: [],
    edges: [],
    members: [
      {
        id: 'node0',
        role: 'voter',
        identified: true,
        raftBind: '127.0.0.1:8186',
        gateway: 'http://127.0.0.1:8100',
      },
      {},
      {},
    ],
    ...{ role: 'follower', term: 3, commitIndex: 0, appliedIndex: 0, lastIndex: 0, ready: true },
    ...{ version: '1.2.3', uptimeMs: 7, links: [{ peer: 'node1' }] },
    chain: { index: 0, hash: '00' },
    firstIndex: 1,
    snapshots: { stored: 5, sending: null, installing: false },
  })
  node.leader = null
  t.match(JSON.parse((await get(tcp, '/status')).body), { leader: { id: '', address: '' } })
})

t.test('GET /status?brief=1 is small, and kept by nginx if it names a leader', async t => {
  const { node, tcp } = await serve(t)
  node.leader = 'node1'
  const answer = await get(tcp, '/status?brief=1')
  t.strictSame(JSON.parse(answer.body), {
    me: { id: 'node0' },
    leader: { id: 'node1', http: '127.0.0.1:8285', gateway: 'http://127.0.0.1:8200' },
    term: 3,
    relay: false,
  })
  t.equal(answer.headers.get('x-raft-relay'), undefined)
  t.ok(answer.raw.length < 1024)
  t.equal(answer.headers.get('cache-control'), undefined)
  node.leader = null
  const unled = await get(tcp, '/status?brief=1')
  t.strictSame(JSON.parse(unled.body), {
    ...{ me: { id: 'node0' }, leader: null, term: 3, relay: false },
  })
  t.equal(unled.headers.get('cache-control'), 'no-store')
})

t.test('an agent that takes writes to the leader tells its nginx so', async t => {
  const { tcp } = await serve(t, { relay: true })
  const answer = await get(tcp, '/status?brief=1')
  t.match(JSON.parse(answer.body), { relay: true })
  t.equal(answer.headers.get('x-raft-relay'), 'yes')
})

t.test('GET /raft answers as the seed did', async t => {
  const { node, tcp } = await serve(t)
  const states = { node0: 'Leader', node1: 'Follower' }
  for (const [leader, State] of Object.entries(states)) {
    node.leader = leader
    t.strictSame(JSON.parse((await get(tcp, '/raft')).body), { State, Node: 'node0' })
  }
  node.leader = null
  t.strictSame(JSON.parse((await get(tcp, '/raft')).body), { State: 'Candidate', Node: 'node0' })
})

t.test('probes: alive always, ready with a leader and caught up', async t => {
  const { node, tcp } = await serve(t)
  const probe = async (target: string): Promise<string> => {
    const { status, body } = await get(tcp, target)
    return `${status} ${body}`
  }
  t.equal(await probe('/readyz'), '200 ok\n')
  node.caughtUp = false
  t.equal(await probe('/readyz'), '503 catching up with the leader\n')
  t.equal(await probe('/readyz?noleader'), '503 catching up with the leader\n')
  t.match(await probe('/readyz?verbose'), /^503 .*\n\[\+\]leader\n\[-\]caught-up: catching up/)
  node.leader = null
  t.equal(await probe('/readyz'), '503 no leader known\n')
  t.equal(await probe('/readyz?noleader'), '200 ok\n')
  t.match(await probe('/readyz?verbose'), /^503 .*\n\[-\]leader: none known/)
  t.match(await probe('/readyz?verbose&noleader'), /^200 .*\n\[\+\]leader: skipped/)
  t.equal(await probe('/livez'), '200 ok\n')
})

t.test('a node that has not started is alive, and not ready', async t => {
  const { node, tcp } = await serve(t)
  node.status = () => {
    throw new Error('the node has not started')
  }
  t.equal((await raw(tcp, 'GET /livez HTTP/1.0\r\n\r\n')).status, 200)
  t.equal((await raw(tcp, 'GET /readyz HTTP/1.0\r\n\r\n')).status, 503)
  t.equal((await raw(tcp, 'GET /key/a HTTP/1.0\r\n\r\n')).status, 500)
})
