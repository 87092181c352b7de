/** Where the agent beside nginx takes writes to other nodes: none leaves this machine in the clear. */

import type { Test } from 'tap'
import { type Fleet, leaderOf, startFleet } from './fleet.ts'
import { type Behaviour, dies, notLeader } from './mock-agent.ts'
import { type RawAnswer, request, send } from './raw-client.ts'

const BODY = '{"k":"v"}'

async function startRelaying(t: Test, ...args: string[]): Promise<Fleet> {
  const fleet = await startFleet(t, ...args)
  fleet.local.belief = { ...fleet.local.belief, relay: true }
  return fleet
}

/** By which way each came, and to whom it is to go. */
function ways({ local }: Fleet) {
  return local.arrivals.map(({ via, headers }) => [via, headers['x-raft-to']])
}

function post(fleet: Fleet, headers: readonly string[] = []): Promise<RawAnswer> {
  const length = `Content-Length: ${BODY.length}`
  return send(fleet.port, request('POST', '/key', length, ...headers) + BODY)
}

export function relays(t: Test): void {
  t.test('a write for another node goes to the agent beside, and to nobody else', async t => {
    const fleet = await startRelaying(t)
    t.equal((await post(fleet, ['X-Raft-To: node2', 'X-Raft-Hop: 0'])).body, 'applied\n')
    const chunked = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
    const unsaid = request('POST', '/key', 'Transfer-Encoding: chunked') + chunked
    t.equal((await send(fleet.port, unsaid)).status, 200, 'of unknown length')
    t.strictSame(ways(fleet), [
      ['relay', 'node1'],
      ['relay', 'node1'],
    ])
    for (const { headers, body } of fleet.local.arrivals) {
      t.match(headers, { 'x-raft-hop': '1', 'content-length': `${BODY.length}` })
      t.equal(body.toString(), BODY)
    }
    t.equal(fleet.arrived(), 2)
    t.strictSame(fleet.nginx.complaints(), [])
  })

  t.test('one that joined since the rendering too; the leader beside needs no relay', async t => {
    const fleet = await startRelaying(t)
    const leader = { ...leaderOf(fleet.two), id: 'joined' }
    fleet.local.belief = { ...fleet.local.belief, leader }
    t.equal((await post(fleet)).status, 200)
    t.strictSame(ways(fleet), [['relay', 'joined']])
    const beside = await startRelaying(t)
    beside.elect(beside.local)
    t.equal((await post(beside, ['X-Raft-To: node2'])).status, 200)
    t.strictSame(ways(beside), [['socket', undefined]])
  })

  t.test('421 of the relay, or of who led: asked afresh, one retry, then 503', async t => {
    const fleet = await startRelaying(t)
    const moves: Behaviour = (arrival, response) => {
      fleet.elect(fleet.two)
      if (arrival.headers['x-raft-to'] === 'node1') notLeader(arrival, response)
      else response.end('applied\n')
    }
    fleet.local.behaviour = moves
    t.equal((await post(fleet)).status, 200)
    t.strictSame(ways(fleet), [
      ['relay', 'node1'],
      ['relay', 'node2'],
    ])
    fleet.local.behaviour = notLeader
    t.equal((await post(fleet)).status, 503)
    t.equal(fleet.local.arrivals.length, 4)
  })

  t.test('an answer that does not come is unknown, and the write was sent once', async t => {
    const fleet = await startRelaying(t)
    fleet.local.behaviour = dies
    const answer = await post(fleet)
    t.equal(answer.status, 504)
    t.match(answer.body, 'COMMIT_UNKNOWN')
    t.equal(fleet.arrived(), 1)
  })

  t.test('clients are redirected to another gateway as without it', async t => {
    const fleet = await startRelaying(t, '--write-mode', 'redirect')
    t.equal((await post(fleet)).status, 307)
    t.equal(fleet.arrived(), 0)
  })
}
