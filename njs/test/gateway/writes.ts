/** gateway.md, section 3: where a write goes, and what is said when it cannot. */

import type { Test } from 'tap'
import { type Fleet, GATEWAYS, leaderOf, startFleet } from './fleet.ts'
import { type Behaviour, dies, hangs, type MockAgent, notLeader } from './mock-agent.ts'
import { type RawAnswer, request, send } from './raw-client.ts'

const BODY = '{"k":"v"}'

export function writes(t: Test): void {
  t.test('a write goes to the leader, a read to the local agent', async t => {
    const fleet = await startFleet(t)
    t.equal((await post(fleet)).body, 'applied\n')
    t.equal((await send(fleet.port, request('GET', '/key/k'))).status, 200)
    t.strictSame(summary(fleet.one), [['POST', '/key', BODY, 'port']])
    t.strictSame(summary(fleet.local), [['GET', '/key/k', '', 'socket']])
    t.equal((await send(fleet.port, request('PUT', '/v1/kv/a?stale'))).status, 200)
    t.equal(fleet.one.arrivals.length, 2, 'PUT ?stale is a write')
    t.strictSame(fleet.nginx.complaints(), [])
  })

  t.test('the local agent is asked once for many writes', async t => {
    const fleet = await startFleet(t)
    const begun = Date.now()
    for (let i = 0; i < 50; i++) t.equal((await post(fleet)).status, 200)
    const seconds = Math.ceil((Date.now() - begun) / 1000)
    t.ok(fleet.local.asked <= seconds + 1, `asked ${fleet.local.asked} times in ${seconds} s`)
  })

  t.test('a leader on this node is reached by its socket', async t => {
    const fleet = await startFleet(t)
    fleet.elect(fleet.local)
    t.equal((await post(fleet)).status, 200)
    t.strictSame(summary(fleet.local), [['POST', '/key', BODY, 'socket']])
  })

  t.test('a leader that joined since the rendering is reached by its address', async t => {
    const fleet = await startFleet(t)
    const leader = { ...leaderOf(fleet.two), id: 'joined' }
    fleet.local.belief = { ...fleet.local.belief, leader }
    t.equal((await post(fleet)).status, 200)
    t.strictSame(summary(fleet.two), [['POST', '/key', BODY, 'port']])
  })

  t.test('the leader moved: one 421, asked afresh, one retry', async t => {
    const fleet = await startFleet(t)
    t.equal((await post(fleet)).status, 200)
    fleet.one.behaviour = notLeader
    fleet.elect(fleet.two)
    t.equal((await post(fleet)).status, 200)
    t.strictSame(summary(fleet.two), [['POST', '/key', BODY, 'port']], 'body whole')
    t.strictSame(fleet.nginx.complaints(), [])
  })

  t.test('a second 421 is a 503, not a loop', async t => {
    const fleet = await startFleet(t)
    fleet.one.behaviour = notLeader
    isProblem(t, await post(fleet), 503, 'NO_LEADER')
    t.equal(fleet.one.arrivals.length, 2)
  })

  t.test('a status of more than a page is understood', async t => {
    const fleet = await startFleet(t)
    fleet.local.belief = { ...fleet.local.belief, padding: 'x'.repeat(20_000) }
    t.equal((await post(fleet)).status, 200)
  })

  t.test('no leader: 503 at once, for the client to repeat', async t => {
    const fleet = await startFleet(t)
    fleet.elect(null)
    const answer = await post(fleet)
    isProblem(t, answer, 503, 'NO_LEADER')
    t.ok(answer.elapsedMs < 2_000, `after ${answer.elapsedMs} ms`)
    t.equal(fleet.arrived(), 0)
  })

  redirects(t)
  losses(t)
}

function redirects(t: Test): void {
  t.test('redirect mode: 307 to the public URL of the leader, target untouched', async t => {
    const fleet = await startFleet(t, '--write-mode', 'redirect')
    const target = '/key/a%2fb%252F?x=%20/..'
    const answer = await send(fleet.port, request('DELETE', target))
    t.equal(answer.status, 307)
    t.equal(answer.headers.get('location'), `${GATEWAYS.node1.slice(0, -1)}${target}`)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.equal(fleet.arrived(), 0)
    t.equal((await send(fleet.port, request('GET', '/key/a'))).status, 200, 'a read is not')
  })

  t.test(
    'redirect mode: the leader itself answers, and one without a URL is forwarded to',
    async t => {
      const fleet = await startFleet(t, '--write-mode', 'redirect')
      fleet.elect(fleet.local)
      t.equal((await post(fleet)).status, 200)
      const other = await startFleet(t, '--write-mode', 'redirect')
      const leader = { ...leaderOf(other.one), gateway: null }
      other.local.belief = { ...other.local.belief, leader }
      t.equal((await post(other)).status, 200)
      t.equal(other.one.arrivals.length, 1)
    },
  )
}

function losses(t: Test): void {
  t.test('a leader that refuses connections: surely not applied', async t => {
    const fleet = await startFleet(t)
    await fleet.one.stop()
    isProblem(t, await post(fleet), 503, 'NO_LEADER')
  })

  t.test('a leader whose name does not resolve: surely not applied', async t => {
    const fleet = await startFleet(t)
    const leader = { id: 'joined', http: 'nowhere.invalid:1', gateway: null }
    fleet.local.belief = { ...fleet.local.belief, leader }
    isProblem(t, await post(fleet), 503, 'NO_LEADER')
  })

  t.test('a dead leader whose successor is known by now: the write is applied', async t => {
    const fleet = await startFleet(t)
    t.equal((await post(fleet)).status, 200)
    await fleet.one.stop()
    fleet.elect(fleet.two)
    t.equal((await post(fleet)).status, 200)
    t.strictSame(summary(fleet.two), [['POST', '/key', BODY, 'port']])
  })

  t.test('421, then the successor refuses: surely not applied', async t => {
    const fleet = await startFleet(t)
    t.equal((await post(fleet)).status, 200)
    fleet.one.behaviour = notLeader
    fleet.elect(fleet.two)
    await fleet.two.stop()
    isProblem(t, await post(fleet), 503, 'NO_LEADER')
  })

  const unknowns: ReadonlyArray<readonly [string, Behaviour]> = [
    ['dies after it read the request', dies],
    ['hangs', hangs],
  ]
  for (const [what, behaviour] of unknowns) {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      t.test(`a leader that ${what}: nobody knows, and ${method} is not repeated`, async t => {
        const fleet = await startFleet(t, '--forward-timeout', '700')
        // the second attempt of nginx happens on connections that were kept
        t.equal((await write(fleet, method)).status, 200)
        fleet.one.behaviour = behaviour
        isProblem(t, await write(fleet, method), 504, 'COMMIT_UNKNOWN')
        t.equal(fleet.arrived(), 2, 'sent exactly once')
      })
    }
  }

  t.test('421, then the successor dies after it read the request: nobody knows', async t => {
    const fleet = await startFleet(t)
    t.equal((await post(fleet)).status, 200)
    fleet.one.behaviour = notLeader
    fleet.two.behaviour = dies
    fleet.elect(fleet.two)
    isProblem(t, await post(fleet), 504, 'COMMIT_UNKNOWN')
    t.equal(fleet.two.arrivals.length, 1, 'sent exactly once')
  })

  t.test('a dead local agent: 503 AGENT_DOWN for reads and writes', async t => {
    const fleet = await startFleet(t)
    await fleet.local.stop()
    for (const target of [
      '/key/a',
      '/v1/kv/a',
      '/v1/watch',
      '/status',
      '/raft',
      '/livez',
      '/readyz',
    ]) {
      isProblem(t, await send(fleet.port, request('GET', target)), 503, 'AGENT_DOWN')
    }
    isProblem(t, await post(fleet), 503, 'AGENT_DOWN')
  })

  t.test('an agent that says something else is no agent', async t => {
    const fleet = await startFleet(t)
    const leader = { ...leaderOf(fleet.one), id: 'x;y' }
    fleet.local.belief = { ...fleet.local.belief, leader }
    isProblem(t, await post(fleet), 503, 'AGENT_DOWN')
  })
}

function post(fleet: Fleet): Promise<RawAnswer> {
  return write(fleet, 'POST')
}

function write(fleet: Fleet, method: string): Promise<RawAnswer> {
  const target = method === 'POST' ? '/key' : '/v1/kv/a'
  const head = request(method, target, `Content-Length: ${BODY.length}`)
  return send(fleet.port, head + BODY)
}

function summary(agent: MockAgent): string[][] {
  return agent.arrivals.map(({ method, target, body, via }) => [method, target, `${body}`, via])
}

function isProblem(t: Test, answer: RawAnswer, status: number, code: string): void {
  t.equal(answer.status, status)
  t.equal(answer.headers.get('content-type'), 'application/problem+json')
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.equal(answer.headers.get('retry-after'), status === 503 ? '1' : undefined)
  t.match(JSON.parse(answer.body || '{}'), { status, code, retryable: status === 503 })
}
