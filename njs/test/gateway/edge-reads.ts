/** Reads that nginx answers out of its own memory: which, with what, and when not. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type EdgeFleet, servedBy, startEdgeFleet } from './edge-fleet.ts'
import { until } from './fleet.ts'
import type { Behaviour } from './mock-agent.ts'
import { request, send } from './raw-client.ts'

/** As an agent answers reads. */
export const asAgent: Behaviour = (_, response) => {
  response.setHeader('X-Raft-Served-By', 'agent')
  response.end('{"from":"the agent"}')
}

export function edgeReads(t: Test): void {
  t.test('a read that may be old is answered by nginx, as the agent would', async t => {
    const fleet = await startEdgeFleet(t)
    const index = fleet.store.write(['a', 'one'], ['b/c d+é', 'two'], ['empty', ''])
    await fleet.settled()
    const answer = await fleet.read('a')
    t.equal(answer.status, 200)
    t.equal(answer.body, '{"a":"one"}')
    t.equal(servedBy(answer), 'nginx')
    t.equal(answer.headers.get('x-raft-index'), String(index))
    t.equal(answer.headers.get('x-raft-node'), 'node0')
    t.equal(answer.headers.get('content-type'), 'application/json')
    t.ok(Number(answer.headers.get('x-raft-staleness-ms')) < 2_000)
    t.equal((await fleet.read('a', 'max_stale=5s')).body, '{"a":"one"}')
    t.equal((await fleet.read('a', 'max_stale=5000ms')).body, '{"a":"one"}')
    t.equal((await fleet.read('nothing')).body, '{"nothing":""}')
    t.equal((await fleet.read('empty')).body, '{"empty":""}')
    for (const spelling of ['b%2Fc%20d+%C3%A9', 'b%2fc%20d%2b%c3%a9', '%62%2Fc%20d+%C3%a9']) {
      const body = Buffer.from('{"b/c d+é":"two"}').toString('latin1')
      t.equal((await fleet.read(spelling)).body, body, spelling)
    }
    fleet.store.write(['a', null])
    await fleet.settled()
    t.equal((await fleet.read('a')).body, '{"a":""}')
    const head = await send(fleet.port, request('HEAD', '/key/empty?stale'))
    t.equal(head.body, '')
    t.equal(head.headers.get('content-length'), '12')
    t.equal(fleet.arrived(), 0, 'no agent was asked')
    t.strictSame(fleet.nginx.complaints(), [])
  })

  t.test('every character comes out as the agent writes it', async t => {
    const fleet = await startEdgeFleet(t)
    const points: string[] = []
    for (let code = 1; code < 0x300; code++) points.push(String.fromCodePoint(code))
    for (const code of [0, 0x2028, 0x2029, 0xfeff, 0xfffd, 0xffff, 0x1f600, 0x10ffff]) {
      points.push(String.fromCodePoint(code))
    }
    fleet.store.write(
      ...points.map((char, at) => [`k${at}`, `<${char}>`] as const),
      ...points.filter(char => char !== '\0').map(char => [`c${char}`, 'x'] as const),
    )
    await fleet.settled()
    const wrong: string[] = []
    for (const [at, char] of points.entries()) {
      const wanted = `{"k${at}":${JSON.stringify(`<${char}>`)}}`
      const answer = await fleet.read(`k${at}`)
      if (utf8(answer.body) !== wanted) wrong.push(`value ${char.codePointAt(0)}: ${answer.body}`)
      if (char === '\0') continue
      const key = `c${char}`
      const named = await fleet.read(encodeURIComponent(key))
      if (utf8(named.body) !== `{${JSON.stringify(key)}:"x"}`) {
        wrong.push(`key ${char.codePointAt(0)}: ${named.body}`)
      }
    }
    t.strictSame(wrong, [])
    t.equal(fleet.arrived(), 0)
  })

  t.test('what nginx cannot know exactly, the agent is asked', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.local.behaviour = asAgent
    fleet.store.write(['a', 'one'], ['binary', new Uint8Array([0xff, 0x00])], [badKey(), 'x'])
    await fleet.settled()
    const asked = async (line: string, ...headers: string[]) => {
      const before = fleet.local.arrivals.length
      const [method = '', target = ''] = line.split(' ')
      const answer = await send(fleet.port, request(method, target, ...headers))
      t.equal(servedBy(answer), 'agent', line)
      t.equal(fleet.local.arrivals.length, before + 1, line)
      t.equal(fleet.local.arrivals.at(-1)?.target, target, 'byte for byte')
    }
    await asked('GET /key/a')
    await asked('GET /key/a?consistent')
    await asked('GET /key/a?consistent&stale')
    await asked('GET /key/a?stale&pretty')
    await asked('GET /key/a?max_stale=5')
    await asked('GET /key/a?max_stale=0ms')
    await asked('GET /key/a?max_stale=-1s')
    await asked('GET /key/binary?stale')
    await asked('GET /key/%FF?stale')
    await asked('GET /key/a%2F..%2Fb?stale')
    await asked(`GET /key/${'k'.repeat(600)}?stale`)
    await asked('OPTIONS /key/a?stale')
    await asked('GET /key/a?stale', 'X-Raft-Min-Index: 2')
    await asked('GET /key/a?stale', 'X-Raft-Min-Index: many')
    await asked('GET /key/a?stale', 'Content-Length: 0', 'X-Raft-Min-Index: 1e1')
    t.equal(
      fleet.local.arrivals.at(-1)?.headers['x-raft-min-index'],
      '1e1',
      'the agent’s to refuse',
    )
    const own = await fleet.read('a', 'stale', 'X-Raft-Min-Index: 1')
    t.equal(servedBy(own), 'nginx', 'an entry that is there')
    fleet.elect(fleet.local)
    await until('the leader is known', async () => {
      await send(fleet.port, request('DELETE', '/key/a?stale'))
      return fleet.local.arrivals.at(-1)?.method === 'DELETE'
    })
    t.strictSame(fleet.nginx.complaints(), [])
  })

  ages(t)
  ownWrites(t)
}

function ages(t: Test): void {
  t.test('the stated age is true, and bounds are kept', async t => {
    const fleet = await startEdgeFleet(t, '--edge-stale-max', '3')
    fleet.local.behaviour = asAgent
    fleet.store.write(['a', 'one'])
    await fleet.settled()
    // a node that has lost touch with its leader goes on with its heartbeats
    fleet.store.age = 900
    await until('the age is told', async () => ageOf(await fleet.read('a')) >= 900)
    t.equal(servedBy(await fleet.read('a', 'max_stale=800ms')), 'agent')
    t.equal(servedBy(await fleet.read('a', 'max_stale=2s')), 'nginx')
    fleet.store.age = 0
    await until('it is young again', async () => ageOf(await fleet.read('a')) < 800)
    await fleet.filler().stop()
    const stopped = Date.now()
    const first = ageOf(await fleet.read('a'))
    await sleep(1_000)
    const answer = await fleet.read('a')
    t.equal(servedBy(answer), 'nginx', 'no agent sends any more: reads go on')
    const grown = ageOf(answer) - first
    t.ok(grown >= 1_000 && grown < 2_000, `the age has grown by ${grown} ms in a second`)
    t.equal(servedBy(await fleet.read('a', 'max_stale=500ms')), 'agent')
    await until('its time is over', async () => servedBy(await fleet.read('a')) === 'agent')
    t.ok(Date.now() - stopped >= 2_000, 'not before the operator’s setting')
    await fleet.local.stop()
    const dead = await fleet.read('a')
    t.equal(dead.status, 503)
    t.match(JSON.parse(dead.body), { code: 'AGENT_DOWN' })
  })

  t.test('with all agents dead, reads go on for as long as they may', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.store.write(['a', 'one'])
    await fleet.settled()
    await fleet.filler().stop()
    for (const agent of [fleet.local, fleet.one, fleet.two]) await agent.stop()
    t.equal((await fleet.read('a')).body, '{"a":"one"}')
    t.equal((await fleet.read('a', 'max_stale=100s')).body, '{"a":"one"}')
    t.equal((await fleet.read('a', 'max_stale=1ms')).status, 503)
  })

  t.test('an age that nobody knows is too old', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.local.behaviour = asAgent
    fleet.store.age = null
    fleet.store.write(['a', 'one'])
    await fleet.settled()
    t.equal(servedBy(await fleet.read('a')), 'agent')
  })
}

function ownWrites(t: Test): void {
  t.test('a write that was answered here is seen by the next read here', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.local.behaviour = asAgent
    fleet.store.write(['a', 'old'])
    await fleet.settled()
    let written = 0
    fleet.one.behaviour = (_, response) => {
      response.writeHead(200, { 'X-Raft-Index': String(written) }).end()
    }
    const write = (method = 'DELETE') => send(fleet.port, request(method, '/key/a'))

    written = fleet.store.last() + 2
    t.equal((await write()).status, 200)
    t.equal(servedBy(await fleet.read('a')), 'agent')
    const arrival = fleet.local.arrivals.at(-1)
    t.equal(arrival?.headers['x-raft-min-index'], String(written), 'the agent waits for it')
    const further = await fleet.read('a', 'stale', `X-Raft-Min-Index: ${written + 5}`)
    t.equal(servedBy(further), 'agent')
    t.equal(fleet.local.arrivals.at(-1)?.headers['x-raft-min-index'], String(written + 5))
    fleet.store.write(['b', 'x'])
    await fleet.settled()
    t.equal(servedBy(await fleet.read('a')), 'agent', 'an entry before it does not do')
    fleet.store.write(['a', 'new'])
    await fleet.settled()
    t.equal((await fleet.read('a')).body, '{"a":"new"}')

    written = fleet.store.last()
    t.equal((await write()).status, 200)
    t.equal(servedBy(await fleet.read('a')), 'nginx', 'it is there already')

    written = fleet.store.last() + 1
    fleet.one.behaviour = (_, response) => {
      response.writeHead(503, { 'X-Raft-Index': String(written) }).end()
    }
    t.equal((await write()).status, 503)
    t.equal(servedBy(await fleet.read('a')), 'nginx', 'a refused write has no entry')
    t.strictSame(fleet.nginx.complaints(), [])
  })

  t.test('writes at once, of which the smallest entry is answered last', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.local.behaviour = asAgent
    fleet.store.write(['a', 'old'])
    await fleet.settled()
    const indexes = Array.from({ length: 40 }, (_, at) => fleet.store.last() + 40 - at)
    let sent = 0
    fleet.one.behaviour = (_, response) => {
      response.writeHead(200, { 'X-Raft-Index': String(indexes[sent++ % 40]) }).end()
    }
    await Promise.all(indexes.map(() => send(fleet.port, request('DELETE', '/key/a'))))
    await needed(t, fleet, Math.max(...indexes))
    for (let at = 0; at < 39; at++) fleet.store.write(['b', String(at)])
    await fleet.settled()
    await needed(t, fleet, Math.max(...indexes))
    fleet.store.write(['b', 'last'])
    await fleet.settled()
    t.equal(servedBy(await fleet.read('a')), 'nginx')
  })
}

async function needed(t: Test, fleet: EdgeFleet, index: number): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    const answer = await fleet.read('a')
    const arrival = fleet.local.arrivals.at(-1)
    const seen = [servedBy(answer), arrival?.headers['x-raft-min-index']]
    if (seen[0] !== 'agent' || seen[1] !== String(index)) t.strictSame(seen, ['agent', index])
  }
  t.pass(`reads wait for ${index}`)
}

function ageOf(answer: { readonly headers: ReadonlyMap<string, string> }): number {
  return Number(answer.headers.get('x-raft-staleness-ms') ?? Number.NaN)
}

function badKey(): Uint8Array {
  return new Uint8Array([0xff])
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}
