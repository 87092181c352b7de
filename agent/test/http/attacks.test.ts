/** verification.md, section H: the rows that concern HTTP, straight at the agent. */
import t, { type Test } from 'tap'
import { type Harness, serve, WAYS } from './harness.ts'
import { type Answer, raw, request } from './raw-client.ts'

const HOST = 'Host: agent\r\n'
const line = (text: string): string => `${text} HTTP/1.1\r\n${HOST}Connection: close\r\n`
const POST = `POST /key HTTP/1.1\r\n${HOST}`
const CLOSED = 0

interface Row {
  readonly name: string
  readonly bytes: string | Buffer
  /** 0: closed without an answer */
  readonly status: readonly number[]
}
const row = (name: string, bytes: string | Buffer, ...status: number[]): Row => ({
  name,
  bytes,
  status,
})

const G = '/v1/cluster/members'
const ROWS: readonly Row[] = [
  row(
    '1 CL and TE',
    `${POST}Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ),
  row('2 two CL', `${POST}Content-Length: 9\r\nContent-Length: 10\r\n\r\n{"a":"b"}`, 400),
  ...['-1', '+5', '0x5', '9'.repeat(30)].map(length =>
    row(`3 CL ${length}`, `${POST}Content-Length: ${length}\r\n\r\n{"a":"b"}`, 400),
  ),
  row('4 xchunked', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400, 501),
  row('4 identity last', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400, 501),
  row('5 TE with a space', `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`, 400),
  row('6 bare LF', 'GET /key/a HTTP/1.1\nHost: a\nConnection: close\n\n', 200, 400),
  row('7 no Host', 'GET /key/a HTTP/1.1\r\nConnection: close\r\n\r\n', 400),
  row('7 two Hosts', `${line('GET /key/a')}Host: b\r\n\r\n`, 400),
  row('7 Host with a slash', 'GET /key/a HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n', 400),
  row('8 HTTP/0.9', 'GET /key/a HTTP/0.9\r\n\r\n', 400, 505, CLOSED),
  row('8 HTTP/2.0', `GET /key/a HTTP/2.0\r\n${HOST}Connection: close\r\n\r\n`, 400, 505, CLOSED),
  row('8 HTTP/9.9', `GET /key/a HTTP/9.9\r\n${HOST}\r\n`, 400, 505, CLOSED),
  row('8 HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 505, CLOSED),
  ...['FFFFFFFFFFFFFFFFF', '-1', '0x3'].map(size =>
    row(
      `9 chunk ${size}`,
      `${POST}Transfer-Encoding: chunked\r\n\r\n${size}\r\nabc\r\n0\r\n\r\n`,
      400,
    ),
  ),
  row('10 header of 9 kB', `${line('GET /key/a')}X: ${'x'.repeat(9000)}\r\n\r\n`, 400, 431),
  row(
    '10 40 of 1 kB',
    `${line('GET /key/a')}${`X: ${'x'.repeat(1000)}\r\n`.repeat(40)}\r\n`,
    400,
    431,
  ),
  row('11 target of 9 kB', `${line(`GET /key/a?${'x'.repeat(9000)}`)}\r\n`, 414),
  row('12 body too long', `${POST}Content-Length: 2000000\r\n\r\n${'x'.repeat(2_000_000)}`, 413),
  row('12 on a GET', `GET /key/a HTTP/1.1\r\n${HOST}Content-Length: 2000000\r\n\r\nxxx`, 413),
  row(
    '12 chunked',
    `${POST}Transfer-Encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(65536)}\r\n`.repeat(30)}`,
    413,
  ),
  row('13 gzip', `${line('POST /key')}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx`, 415),
  row('17 Expect', `${POST}Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n`, 413),
  row('17 another', `${POST}Expect: a miracle\r\nContent-Length: 1073741824\r\n\r\n`, 417),
  row(
    '18 h2c',
    `GET /key/a HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n`,
    ...[200, 400],
  ),
  row('19 FOO', `${line('FOO /key/a')}\r\n`, 400, 405),
  row('19 get', `${line('get /key/a')}\r\n`, 400, 405),
  row('19 TRACE', `${line('TRACE /key/a')}\r\n`, 405),
  row('19 CONNECT', `${line('CONNECT agent:80')}\r\n`, 405),
  row('20 a Raft message', `${line('POST /raft/append')}Content-Length: 2\r\n\r\n{}`, 404, 403),
  // 200 on the agent's own port, for operators; what its nginx gets is in cluster-routes.test.ts
  row('20 an internal path', `${line(`GET ${G}`)}\r\n`, 200, 403),
  ...[`//x${G}`, '//', '//[/key'].map(target =>
    row(`21, 22 ${target}`, `${line(`GET ${target}`)}\r\n`, 400),
  ),
  ...[
    '/%76%31/cluster/members',
    `/key/..${G}`,
    `/%2e%2e${G}`,
    `/key/..%2f${G}`,
    '/v1%2fcluster',
  ].map(target => row(`23 ${target}`, `${line(`GET ${target}`)}\r\n`, 400, 404)),
  ...['/key/%00', '/key/%zz', '/key/a\\b', '/key/a"b', '/key/.', '/key/%2e%2E'].map(target =>
    row(`24 ${target}`, `${line(`GET ${target}`)}\r\n`, 400),
  ),
  row('25 0xff', Buffer.from(`${line('GET /key/\xff')}\r\n`, 'latin1'), 400),
  row('25 a space', `${line('GET /key/a b')}\r\n`, 400),
  row('26 dots', `${line(`GET /../..${G}`)}\r\n`, 400, 404),
  row(
    '27 forged origin',
    `GET /key/a HTTP/1.1\r\n${HOST}X-Forwarded-For: 1.2.3.4\r\nForwarded: for=x\r\n` +
      'Connection: close, X-Forwarded-For\r\n\r\n',
    200,
  ),
  row('36 empty name', `${line('POST /key')}Content-Length: 8\r\n\r\n{"":"b"}`, 400),
  row('36 dots in a body', `${line('POST /key')}Content-Length: 15\r\n\r\n{"a/../b":"cc"}`, 400),
  row('36 255 times "a/"', `${line(`GET /key/${'a%2F'.repeat(255)}`)}\r\n`, 200),
  row(
    '37 admin',
    `${line('POST /key')}Content-Length: 28\r\n\r\n{"__proto__":{"admin":true}}`,
    400,
  ),
  row(
    '38 text',
    `${line('POST /key')}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`,
    415,
  ),
  row('45 TLS', Buffer.from('16030100f8010000f40303', 'hex'), 400, CLOSED),
  row('45 SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 400, CLOSED),
  row('45 1 MB of noise', Buffer.alloc(1_000_000, 0x9c), 400, CLOSED),
  row('a header of 1 MB', `${line('GET /key/a')}X: ${'x'.repeat(1_000_000)}\r\n\r\n`, 400, 431),
  row('a header twice', `${line('GET /key/a')}Content-Type: a\r\nContent-Type: b\r\n\r\n`, 400),
]

async function unharmed(t: Test, { node, tcp, errors }: Harness): Promise<void> {
  t.equal((await request(tcp, 'GET /key/plain')).body, '{"plain":""}')
  t.strictSame(node.keys(), [], 'nothing was stored')
  t.strictSame(errors, [])
}

function checkAnswer(t: Test, { name, status }: Row, answer: Answer): void {
  t.ok(status.includes(answer.status), `${name}: ${answer.status}`)
  t.equal(answer.raw.match(/HTTP\/1\.1 /g)?.length ?? 0, answer.status === CLOSED ? 0 : 1, name)
  if (answer.status < 400) return
  t.equal(answer.headers.get('content-type'), 'application/problem+json', name)
  t.equal(answer.headers.get('x-raft-served-by'), 'agent', name)
  t.ok(!/Error|\.ts|\.js|node:/.test(answer.body), `${name}: no stack`)
  t.equal(answer.headers.has('allow'), answer.status === 405, name)
}

for (const { way, ...how } of WAYS) {
  t.test(`${way}: each row is answered as stated, and a plain GET afterwards is 200`, async t => {
    // Whoever sends half a request is let go soon, so that no row takes long.
    const limits = { headTimeoutMs: 400, requestTimeoutMs: 400, keepAliveMs: 300 }
    const harness = await serve(t, { ...how, limits })
    for (const each of ROWS) {
      for (const where of [harness.tcp, harness.unix]) {
        checkAnswer(t, each, await raw(where, each.bytes))
        t.equal((await request(where, 'GET /key/plain')).status, 200, each.name)
      }
    }
    await unharmed(t, harness)
  })
}
