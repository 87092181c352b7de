/** verification.md, section H: the rows that nginx must answer, by their numbers there. */

import type net from 'node:net'
import type { Test } from 'tap'
import { type Fleet, startFleet } from './fleet.ts'
import { converse, latin1, type RawAnswer, request, send, statuses } from './raw-client.ts'

interface Attack {
  readonly row: number
  readonly what: string
  readonly bytes: string | Buffer
  /** 0: closed without an answer */
  readonly allowed: readonly number[]
  /** requests that may reach an agent; 0 unless given */
  readonly arrivals?: number
}

const HEAD = 'PUT /v1/kv/a HTTP/1.1\r\nHost: g\r\nConnection: close\r\n'
const BAD = [400]
const put = (headers: string, body = '') => `${HEAD}${headers}\r\n\r\n${body}`
const get = (target: string, version = 'HTTP/1.1', host = 'Host: g\r\n') =>
  `GET ${target} ${version}\r\n${host}Connection: close\r\n\r\n`
const chunked = (size: string) => put('Transfer-Encoding: chunked', `${size}\r\nabc\r\n0\r\n\r\n`)

const ATTACKS: readonly Attack[] = [
  {
    row: 1,
    what: 'Content-Length and Transfer-Encoding',
    bytes: put('Content-Length: 3\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
    allowed: BAD,
  },
  {
    row: 2,
    what: 'two lengths',
    bytes: put('Content-Length: 3\r\nContent-Length: 4', 'abcd'),
    allowed: BAD,
  },
  ...['-1', '+5', '0x5', '9'.repeat(30)].map(length => ({
    row: 3,
    what: `Content-Length ${length}`,
    bytes: put(`Content-Length: ${length}`, 'abcde'),
    allowed: BAD,
  })),
  ...['xchunked', 'chunked, identity'].map(coding => ({
    row: 4,
    what: `Transfer-Encoding ${coding}`,
    bytes: put(`Transfer-Encoding: ${coding}`, '0\r\n\r\n'),
    allowed: [400, 501],
  })),
  { row: 5, what: 'space', bytes: put('Transfer-Encoding : chunked', '0\r\n\r\n'), allowed: BAD },
  {
    row: 6,
    what: 'bare LF',
    bytes: 'GET /key/a HTTP/1.1\nHost: g\nConnection: close\n\n',
    allowed: [200, 400],
    arrivals: 1,
  },
  { row: 7, what: 'no Host', bytes: get('/key/a', 'HTTP/1.1', ''), allowed: BAD },
  {
    row: 7,
    what: 'two Hosts',
    bytes: get('/key/a', 'HTTP/1.1', 'Host: g\r\nHost: h\r\n'),
    allowed: BAD,
  },
  {
    row: 7,
    what: 'Host with a slash',
    bytes: get('/key/a', 'HTTP/1.1', 'Host: g/x\r\n'),
    allowed: BAD,
  },
  { row: 8, what: 'HTTP/2.0 as text', bytes: get('/key/a', 'HTTP/2.0'), allowed: [400, 505] },
  { row: 8, what: 'HTTP/9.9', bytes: get('/key/a', 'HTTP/9.9'), allowed: [400, 505] },
  ...['FFFFFFFFFFFFFFFFF', '-1', '0x3'].map(size => ({
    row: 9,
    what: `chunk size ${size}`,
    bytes: chunked(size),
    allowed: BAD,
  })),
  {
    row: 10,
    what: 'a header of 9 kB',
    bytes: get('/key/a', 'HTTP/1.1', `Host: g\r\nX: ${'x'.repeat(9_000)}\r\n`),
    allowed: [400, 431],
  },
  {
    row: 10,
    what: '40 headers of 1 kB',
    bytes: get('/key/a', 'HTTP/1.1', `Host: g\r\n${`X: ${'x'.repeat(1_000)}\r\n`.repeat(40)}`),
    allowed: [400, 431],
  },
  { row: 11, what: 'a target of 9 kB', bytes: get(`/key/${'a'.repeat(9_000)}`), allowed: [414] },
  {
    row: 17,
    what: '1 GB announced',
    bytes: put('Expect: 100-continue\r\nContent-Length: 1000000000'),
    allowed: [413],
  },
  {
    row: 18,
    what: 'h2c',
    bytes: request('GET', '/key/a', 'Upgrade: h2c'),
    allowed: [200, 400],
    arrivals: 1,
  },
  { row: 19, what: 'method get', bytes: request('get', '/key/a'), allowed: BAD },
  { row: 19, what: 'method TRACE', bytes: request('TRACE', '/key/a'), allowed: [400, 405] },
  { row: 19, what: 'method CONNECT', bytes: request('CONNECT', 'g:80'), allowed: [400, 405] },
  ...['//x/v1/cluster/members', '//', '//[/key'].map(target => ({
    row: 21,
    what: target,
    bytes: get(target),
    allowed: BAD,
  })),
  ...[
    '/v1/%63luster/members',
    '/key/../v1/cluster/members',
    '/key/%2e%2e/v1/cluster/members',
    '/key/..%2fv1/cluster/members',
    '/v1%2fcluster/members',
    '/../../v1/cluster/members',
  ].map(target => ({ row: 23, what: target, bytes: get(target), allowed: [400, 403, 404] })),
  { row: 24, what: '%00', bytes: get('/key/%00'), allowed: BAD },
  { row: 24, what: '%zz', bytes: get('/key/%zz'), allowed: BAD },
  { row: 25, what: 'byte 0xff', bytes: latin1(get('/key/\xff')), allowed: BAD },
  { row: 25, what: 'a space', bytes: get('/key/a b'), allowed: BAD },
  {
    row: 45,
    what: 'TLS hello',
    bytes: latin1('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
    allowed: BAD,
  },
  { row: 45, what: 'SSH banner', bytes: 'SSH-2.0-OpenSSH_9.2\r\n\r\n', allowed: BAD },
  { row: 45, what: '1 MB of noise', bytes: Buffer.alloc(1_000_000, 0xaa), allowed: [0, 400] },
]

export function attacks(t: Test): void {
  t.test('bad input is refused, and the next request is served', async t => {
    const fleet = await startFleet(t)
    for (const attack of ATTACKS) await endure(t, fleet, attack)
    t.strictSame(fleet.nginx.complaints(), [])
  })

  t.test('row 8: HTTP/0.9 gets a page or nothing, in its own form', async t => {
    const fleet = await startFleet(t)
    const answer = await send(fleet.port, 'GET /key/a\r\n')
    t.notMatch(answer.text, /^HTTP\//)
    t.ok(fleet.arrived() <= 1)
  })

  t.test('pipelined requests arrive one by one, in order', async t => {
    const fleet = await startFleet(t)
    const first = 'PUT /v1/kv/a HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\nabc'
    const answer = await send(fleet.port, first + request('DELETE', '/key/b'))
    t.strictSame(statuses(answer), [200, 200])
    const arrived = fleet.one.arrivals.map(({ target, body }) => [target, `${body}`])
    t.strictSame(arrived, [
      ['/v1/kv/a', 'abc'],
      ['/key/b', ''],
    ])
  })

  slowness(t)
}

function slowness(t: Test): void {
  t.test('rows 14, 15, 45: who sends slowly, or nothing, is let go', async t => {
    const fleet = await startFleet(t)
    const drip = (first: string) => (socket: net.Socket) => {
      socket.write(first)
      const timer = setInterval(() => socket.write('x'), 500)
      socket.on('close', () => clearInterval(timer))
    }
    // nginx limits the pause between two parts of a body, not the whole: this one costs a connection, and no agent.
    const body: net.Socket[] = []
    const dripped = converse(fleet.port, socket => {
      body.push(socket)
      drip(put('Content-Length: 100000'))(socket)
    })
    const [header, silence, stalled] = await Promise.all([
      converse(fleet.port, drip('GET /key/a HTTP/1.1\r\nHost: g\r\nX: ')),
      converse(fleet.port, () => {}),
      converse(fleet.port, socket => socket.write(put('Content-Length: 9', 'abc'))),
    ])
    t.ok(header.elapsedMs < 10_000, `a header that never ends: ${header.elapsedMs} ms`)
    t.ok(silence.elapsedMs < 10_000, `silence: ${silence.elapsedMs} ms`)
    t.ok(stalled.elapsedMs < 13_000, `half a body: ${stalled.elapsedMs} ms`)
    t.equal(fleet.arrived(), 0)
    for (const socket of body) socket.destroy()
    t.equal((await dripped).status, 0)
  })

  t.test('row 16: 2,000 idle connections leave room for others', async t => {
    const fleet = await startFleet(t)
    const sockets: net.Socket[] = []
    const idle = Array.from({ length: 2_000 }, () => {
      return converse(fleet.port, socket => sockets.push(socket), 60_000)
    })
    for (let at = 0; at < 20; at++) {
      t.equal((await send(fleet.port, request('GET', '/key/a'))).status, 200)
    }
    for (const socket of sockets) socket.destroy()
    await Promise.all(idle)
  })
}

async function endure(t: Test, fleet: Fleet, attack: Attack): Promise<void> {
  const name = `row ${attack.row}: ${attack.what}`
  const before = fleet.arrived()
  const answer: RawAnswer = await send(fleet.port, attack.bytes)
  t.ok(attack.allowed.includes(answer.status), `${name}: ${answer.status}`)
  t.ok(statuses(answer).length <= 1, `${name}: one answer`)
  t.notMatch(answer.text, /^HTTP\/1\.1 10[01]/, `${name}: no 100, no 101`)
  t.ok(fleet.arrived() - before <= (attack.arrivals ?? 0), `${name}: reaches no agent`)
  const after = await send(fleet.port, request('GET', '/key/after'))
  t.equal(after.status, 200, `${name}: served afterwards`)
}
