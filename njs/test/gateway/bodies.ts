/** Bodies through the gateway: whole, within limits, and headers that nginx decides about. */

import type { Test } from 'tap'
import { type Fleet, startFleet } from './fleet.ts'
import { notLeader } from './mock-agent.ts'
import { converse, latin1, type RawAnswer, request, send } from './raw-client.ts'

const MIB = 1024 * 1024

/** Every byte value, in no short period, so that a lost or doubled part shows. */
const BODY = Buffer.from(Array.from({ length: MIB }, (_, at) => (at * 31 + (at >> 8)) & 0xff))

type Sender = (port: number, body: Buffer) => Promise<RawAnswer>

const SENDERS: Readonly<Record<string, Sender>> = {
  'by length': (port, body) =>
    send(port, Buffer.concat([latin1(request('PUT', '/v1/kv/big', lengthOf(body))), body])),
  chunked: (port, body) =>
    send(port, Buffer.concat([latin1(request('PUT', '/v1/kv/big', CHUNKED)), chunks(body)])),
  'with 100-continue': (port, body) =>
    converse(port, socket => {
      socket.write(request('PUT', '/v1/kv/big', lengthOf(body), 'Expect: 100-continue'))
      socket.once('data', first => {
        if (first.toString('latin1').startsWith('HTTP/1.1 100 ')) socket.write(body)
      })
    }),
}

const CHUNKED = 'Transfer-Encoding: chunked'

export function bodies(t: Test): void {
  for (const [name, sender] of Object.entries(SENDERS)) {
    t.test(`1 MiB ${name} arrives whole, also after a 421`, async t => {
      const fleet = await startFleet(t)
      t.equal((await sender(fleet.port, BODY)).status, 200)
      arrivedWhole(t, fleet.one.arrivals)
      fleet.one.behaviour = notLeader
      fleet.elect(fleet.two)
      t.equal((await sender(fleet.port, BODY)).status, 200)
      arrivedWhole(t, fleet.two.arrivals)
      t.strictSame(fleet.nginx.complaints(), [])
    })
  }

  t.test('more than 1 MiB is refused before an agent sees it', async t => {
    const fleet = await startFleet(t)
    const tooMuch = Buffer.concat([BODY, Buffer.from('x')])
    for (const [name, sender] of Object.entries(SENDERS)) {
      const answer = await sender(fleet.port, tooMuch)
      t.equal(answer.status, 413, name)
      t.equal(answer.headers.get('content-type'), 'application/problem+json', name)
      t.notMatch(answer.text, /^HTTP\/1.1 100/, `${name}: no invitation to send it`)
    }
    t.equal(fleet.arrived(), 0)
  })

  t.test('an answer of the agent passes as it is', async t => {
    const fleet = await startFleet(t)
    for (const status of [400, 404, 409, 412, 413, 415, 429, 431, 503]) {
      fleet.one.behaviour = (_, response) => {
        response
          .writeHead(status, { 'X-Raft-Index': '7', 'Content-Type': 'text/plain' })
          .end('own words')
      }
      const answer = await send(fleet.port, request('DELETE', '/key/a'))
      t.equal(answer.status, status)
      t.match(answer.text, 'own words')
      t.equal(answer.headers.get('x-raft-index'), '7')
    }
  })

  headers(t)
}

function headers(t: Test): void {
  t.test('what the client claims of itself goes nowhere, on reads and writes', async t => {
    const fleet = await startFleet(t)
    const forged = [
      'X-Raft-Hop: 0',
      'X-Forwarded-For: 6.6.6.6',
      'X-Forwarded-Proto: gopher',
      'X-Forwarded-Host: evil',
      'X-Real-IP: 6.6.6.6',
      'Forwarded: for=6.6.6.6',
      'X-Request-Id: mine',
      'X_Raft_Hop: 9',
      'Upgrade: h2c',
      'TE: trailers',
    ]
    for (const method of ['GET', 'DELETE']) {
      const connection = 'Connection: close, X-Forwarded-For, X-Raft-Hop'
      const bytes = [`${method} /key/a HTTP/1.1`, 'Host: front:81', ...forged, connection, '', '']
      t.equal((await send(fleet.port, bytes.join('\r\n'))).status, 200)
      const [arrival] = (method === 'GET' ? fleet.local : fleet.one).arrivals
      const got = arrival?.headers ?? {}
      t.match(got, { 'x-raft-hop': '1', host: 'front:81' })
      for (const name of [
        'x-forwarded-for',
        'x-forwarded-proto',
        'x-request-id',
        'x-forwarded-host',
        'x-real-ip',
        'forwarded',
        'x_raft_hop',
        'upgrade',
        'te',
      ]) {
        t.equal(got[name], undefined, `${method}: ${name}`)
      }
    }
  })

  t.test('a client of HTTP/1.0 need not name a host, the forwarded request does', async t => {
    const fleet = await startFleet(t)
    for (const method of ['GET', 'DELETE']) {
      t.equal((await send(fleet.port, `${method} /key/a HTTP/1.0\r\n\r\n`)).status, 200)
      const [arrival] = (method === 'GET' ? fleet.local : fleet.one).arrivals
      t.equal(arrival?.headers.host, 'raft-nginx')
    }
  })

  t.test('what belongs to the request passes: idempotency, conditions, tokens', async t => {
    const fleet = await startFleet(t)
    const sent = { 'idempotency-key': 'k1', 'if-match': '"7"', authorization: 'Bearer t' }
    const lines = Object.entries(sent).map(([name, value]) => `${name}: ${value}`)
    await send(fleet.port, request('DELETE', '/key/a', ...lines))
    t.match(fleet.one.arrivals[0]?.headers, sent)
  })
}

function arrivedWhole(t: Test, arrivals: Fleet['one']['arrivals']): void {
  t.equal(arrivals.length, 1, 'once')
  t.ok(arrivals[0]?.body.equals(BODY), 'byte for byte')
}

function lengthOf(body: Buffer): string {
  return `Content-Length: ${body.length}`
}

function chunks(body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; at += 50_000) {
    const part = body.subarray(at, at + 50_000)
    parts.push(latin1(`${part.length.toString(16)}\r\n`), part, latin1('\r\n'))
  }
  return Buffer.concat([...parts, latin1('0\r\n\r\n')])
}
