/** gateway.md, section 5: what the client port shows, and what never. */

import type { ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { type Fleet, startFleet, until } from './fleet.ts'
import { applied } from './mock-agent.ts'
import { type RawAnswer, request, send } from './raw-client.ts'

const PAGES = ['/status', '/raft', '/livez', '/readyz', '/v1/watch']
const WRITES = ['POST', 'PUT', 'DELETE', 'PATCH', 'FOO']

export function paths(t: Test): void {
  t.test('pages are read, with their query, and never written', async t => {
    const fleet = await startFleet(t)
    for (const page of PAGES) {
      t.equal((await send(fleet.port, request('GET', `${page}?verbose&a=%2f`))).status, 200, page)
      t.equal(fleet.local.arrivals.at(-1)?.target, `${page}?verbose&a=%2f`)
      t.equal((await send(fleet.port, request('HEAD', page))).status, 200, `HEAD ${page}`)
      const before = fleet.arrived()
      for (const method of WRITES) {
        const answer = await send(fleet.port, request(method, page))
        isRefusal(t, answer, 405, `${method} ${page}`)
        t.equal(answer.headers.get('allow'), 'GET, HEAD', `${method} ${page}`)
      }
      t.equal(fleet.arrived(), before, `no write to ${page} reaches an agent`)
    }
  })

  t.test('/key takes POST only, and says so', async t => {
    const fleet = await startFleet(t)
    const answer = await send(fleet.port, request('GET', '/key'))
    isRefusal(t, answer, 405, 'GET /key')
    t.equal(answer.headers.get('allow'), 'POST')
  })

  t.test('operators’ and internal paths are not there, in any spelling', async t => {
    const fleet = await startFleet(t)
    const hidden: ReadonlyArray<readonly [string, number]> = [
      ['/join', 404],
      ['/%6aoin', 404],
      ['/key/../join', 404],
      ['/metrics', 404],
      ['/ui', 404],
      ['/v1/cluster', 403],
      ['/v1/cluster/members', 403],
      ['/v1/cluster/leader', 403],
      ['/v1/cluster/backup', 403],
      ['/v1/%63luster/members', 403],
      ['/v1/clusterx', 403],
      ['/_raft/status', 404],
      ['/_raft/status_fresh', 404],
      ['/_raft/refused', 404],
      ['/@raft_forward', 404],
      ['/fsm/', 400],
      ['/fsm/Queue/', 400],
    ]
    for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
      for (const [target, status] of hidden) {
        const answer = await send(fleet.port, request(method, target))
        isRefusal(t, answer, status, `${method} ${target}`)
      }
    }
    t.equal(fleet.arrived(), 0)
    t.equal(fleet.local.asked, 0)
  })

  limits(t)
}

function limits(t: Test): void {
  t.test('a write rate, where rendered, holds back writes and no reads', async t => {
    const fleet = await startFleet(t, '--write-rate', '1')
    const answers: RawAnswer[] = []
    for (let at = 0; at < 8; at++) answers.push(await remove(fleet))
    const refused = answers.filter(answer => answer.status === 429)
    t.ok(refused.length >= 1, 'a rate of 1/s with a burst of 2 refuses some of 8 at once')
    t.equal(refused.length + fleet.one.arrivals.length, 8)
    for (const answer of refused) {
      isRefusal(t, answer, 429, 'too many')
      t.equal(answer.headers.get('retry-after'), '1')
      t.match(JSON.parse(answer.body), { code: 'OVERLOADED', retryable: true })
    }
    for (let at = 0; at < 8; at++) {
      t.equal((await send(fleet.port, request('GET', '/key/a'))).status, 200)
    }
  })

  t.test('without one, writes are not counted', async t => {
    const fleet = await startFleet(t)
    const answers = await Promise.all(Array.from({ length: 200 }, () => remove(fleet)))
    t.strictSame(
      answers.filter(answer => answer.status !== 200),
      [],
    )
  })
  tooMany(t)
}

function tooMany(t: Test): void {
  t.test(
    'more writes at a time than rendered are refused by nginx alone, and reads go on',
    async t => {
      const fleet = await startFleet(t, '--writes-in-flight', '2')
      const held: ServerResponse[] = []
      fleet.one.behaviour = (_, response) => void held.push(response)
      const running = [remove(fleet), remove(fleet)]
      await until('two writes are under way', () => held.length === 2)
      const third = await remove(fleet)
      isRefusal(t, third, 503, 'too many at a time')
      t.equal(third.headers.get('retry-after'), '1')
      t.match(JSON.parse(third.body), { code: 'OVERLOADED', retryable: true })
      t.equal((await send(fleet.port, request('GET', '/key/a'))).status, 200)
      for (const response of held) response.end('applied\n')
      for (const answer of await Promise.all(running)) t.equal(answer.status, 200)
      fleet.one.behaviour = applied
      t.equal((await remove(fleet)).status, 200, 'as soon as there is room')
      t.equal(fleet.one.arrivals.length, 3, 'the refused one never came')
    },
  )
}

function remove(fleet: Fleet): Promise<RawAnswer> {
  return send(fleet.port, request('DELETE', '/key/a'))
}

function isRefusal(t: Test, answer: RawAnswer, status: number, what: string): void {
  t.equal(answer.status, status, what)
  t.equal(answer.headers.get('content-type'), 'application/problem+json', what)
  t.equal(JSON.parse(answer.body).status, status, what)
}
