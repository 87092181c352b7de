/** One cluster of three real agents and nginxes: first in the clear and over TLS, then with tokens that count. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { type EdgeCluster, startEdgeCluster } from './edge-cluster.ts'
import { freePort, NGINX, temporaryFolder, until } from './fleet.ts'
import { type RawAnswer, request, send } from './raw-client.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

interface Ports {
  readonly plain: readonly number[]
  readonly tls: readonly number[]
}

/** @param edge nginx has reads out of its own memory */
export function guarded(t: Test, edge: boolean): void {
  t.test('TLS, HTTP/2 and tokens', async t => {
    const folder = temporaryFolder(t)
    selfSigned(folder)
    const ports = { plain: await threePorts(), tls: await threePorts() }
    const sites = (at: number) => new Map([['tls.conf', example(folder, ports, at)]])
    const gateways = ports.tls.map(port => `https://127.0.0.1:${port}`)
    const cluster = await startEdgeCluster(t, {
      sites,
      gateways,
      args: edge ? [] : ['--edge-reads', 'off'],
    })
    await t.test('over HTTP/2, as in the clear', t => overHttp2(t, ports))
    await t.test('in the clear: on to TLS, but without tokens', t => inTheClear(t, ports))
    await t.test('tokens, at every gateway', t => tokens(t, cluster, edge))
  })
}

async function threePorts(): Promise<readonly number[]> {
  return [await freePort(), await freePort(), await freePort()]
}

function selfSigned(folder: string): void {
  const subject = ['-subj', '/CN=127.0.0.1', '-days', '2', '-nodes', '-newkey', 'rsa:2048']
  const files = ['-keyout', path.join(folder, 'key'), '-out', path.join(folder, 'crt')]
  execFileSync('openssl', ['req', '-x509', ...subject, ...files], { stdio: 'ignore' })
}

/** As it stands, but for places and, where nginx has another word for it, HTTP/2. */
function example(folder: string, { plain, tls }: Ports, at: number): string {
  const text = readFileSync(`${ROOT}/nginx/examples/tls.conf`, 'utf8')
  const modern = hasHttp2Directive()
  return text
    .replace('listen 80;', `listen 127.0.0.1:${plain[at]};`)
    .replace(
      'listen 443 ssl http2;',
      modern
        ? `listen 127.0.0.1:${tls[at]} ssl; http2 on;`
        : `listen 127.0.0.1:${tls[at]} ssl http2;`,
    )
    .replace('https://$host$', `https://$host:${tls[at]}$`)
    .replace('/etc/nginx/tls/gateway.crt', path.join(folder, 'crt'))
    .replace('/etc/nginx/tls/gateway.key', path.join(folder, 'key'))
}

function hasHttp2Directive(): boolean {
  const said = execFileSync('sh', ['-c', `"${NGINX}" -v 2>&1`]).toString()
  const [, minor = 0, patch = 0] = /nginx\/1\.(\d+)\.(\d+)/.exec(said)?.map(Number) ?? []
  return minor > 25 || (minor === 25 && patch >= 1)
}

interface Answer {
  readonly status: number
  readonly headers: http2.IncomingHttpHeaders
  readonly body: string
}

function ask(session: http2.ClientHttp2Session, line: string, body = ''): Promise<Answer> {
  const [method = '', target = ''] = line.split(' ')
  return new Promise((resolve, reject) => {
    const head = { ':method': method, ':path': target }
    const stream = session.request(head, { endStream: body === '' })
    let text = ''
    let headers: http2.IncomingHttpHeaders = {}
    stream.setEncoding('utf8')
    stream.on('response', given => {
      headers = given
    })
    stream.on('data', (chunk: string) => {
      text += chunk
    })
    stream.on('error', reject)
    stream.on('end', () => resolve({ status: Number(headers[':status']), headers, body: text }))
    if (body !== '') stream.end(body)
  })
}

async function overHttp2(t: Test, { tls }: Ports): Promise<void> {
  const sessions = tls.map(port =>
    http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false }),
  )
  t.teardown(() => {
    for (const session of sessions) session.destroy()
  })
  const [one, two, three] = sessions as [
    http2.ClientHttp2Session,
    http2.ClientHttp2Session,
    http2.ClientHttp2Session,
  ]
  let events = ''
  const watch = two.request({ ':path': '/v1/watch?prefix=h2/' })
  watch.setEncoding('utf8')
  watch.on('data', (chunk: string) => {
    events += chunk
  })
  await until('it is watched', () => events.includes('bookmark'))
  for (const session of sessions) {
    t.equal((await ask(session, 'POST /key', '{"h2/a":"1"}')).status, 200)
    t.equal((await ask(session, 'PUT /v1/kv/h2/b', 'two')).body, 'true')
    t.equal((await ask(session, 'GET /key/h2%2Fa?consistent')).body, '{"h2/a":"1"}')
    t.equal((await ask(session, 'GET /v1/kv/h2/b?raw')).body, 'two')
  }
  t.equal(one.alpnProtocol, 'h2')
  await until('the changes are told', () => events.includes('"key":"h2/b"'))
  watch.close()
  t.equal((await ask(three, 'GET /v1/cluster/members')).status, 403)
  const refused = await ask(three, 'GET /nothing')
  t.equal(refused.status, 404)
  t.equal(refused.headers['content-type'], 'application/problem+json')
  t.equal((await ask(three, 'DELETE /v1/kv/h2/b')).body, 'true')
}

async function inTheClear(t: Test, { plain, tls }: Ports): Promise<void> {
  const [port = 0] = plain
  const moved = await send(port, request('PUT', '/v1/kv/a%2Fb?flags=1', 'Content-Length: 0'))
  t.equal(moved.status, 308)
  t.equal(moved.headers.get('location'), `https://gateway:${tls[0]}/v1/kv/a%2Fb?flags=1`)
  for (const header of ['X-Consul-Token: t', 'Authorization: Bearer t']) {
    const refused = await send(port, request('GET', '/key/a', header))
    t.equal(refused.status, 400, header)
    t.equal(refused.headers.get('location'), undefined)
  }
}

interface Asking {
  readonly token?: string
  readonly headers?: readonly string[]
  readonly body?: string
}

function through(port: number, line: string, asking: Asking = {}): Promise<RawAnswer> {
  const { token, headers = [], body = '' } = asking
  const own = token === undefined ? [] : [`X-Consul-Token: ${token}`]
  const [method = '', target = ''] = line.split(' ')
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  return send(port, request(method, target, ...own, ...headers, ...length) + body)
}

async function secretOf(answer: Promise<RawAnswer>): Promise<string> {
  return (JSON.parse((await answer).body) as { secret: string }).secret
}

/** Rows 28 to 30, 43 and 44, at each gateway, whoever leads; and what nginx has in its own memory. */
async function tokens(t: Test, { nodes, post }: EdgeCluster, edge: boolean): Promise<void> {
  await post({ 'public/p': '1', 'private/p': '2' })
  const agent = nodes[0]?.httpPort ?? 0
  for (const { port } of edge ? nodes : []) {
    await until('nginx knows it', async () => {
      const answer = await through(port, 'GET /key/private%2Fp?stale')
      return answer.body.includes('2') && answer.headers.get('x-raft-served-by') === 'nginx'
    })
  }
  const fromMemory = (answer: RawAnswer) =>
    !edge || answer.headers.get('x-raft-served-by') === 'nginx'
  const admin = await secretOf(through(agent, 'POST /v1/cluster/acl/bootstrap'))
  const anybody = JSON.stringify({ rules: [{ prefix: 'public/', access: 'read' }] })
  const acl = '/v1/cluster/acl/tokens'
  await through(agent, `PUT ${acl}/anonymous`, { token: admin, body: anybody })
  const make = (rules: readonly object[]) =>
    secretOf(through(agent, `POST ${acl}`, { token: admin, body: JSON.stringify({ rules }) }))
  const reader = await make([{ prefix: '', access: 'read' }])
  const writer = await make([{ prefix: 'public/', access: 'write' }])
  for (const { port, httpPort } of nodes) {
    await until('it was applied there', async () => {
      const known = await through(httpPort, 'GET /key/public%2Fp', { token: writer })
      const open = await through(port, 'GET /key/public%2Fp?stale')
      const shut = await through(port, 'GET /key/private%2Fp?stale')
      return known.status === 200 && shut.status === 401 && fromMemory(open)
    })
    const of = async (line: string, asking?: Asking) => (await through(port, line, asking)).status
    t.equal(await of('GET /key/private%2Fp?stale'), 401, 'nothing of it out of nginx’s memory')
    t.equal(await of('GET /v1/kv/private/p?stale'), 401)
    t.equal(await of('GET /key/private%2Fp?stale', { token: writer }), 403)
    const shown = await through(port, 'GET /key/private%2Fp?stale', { token: reader })
    t.equal(shown.headers.get('x-raft-served-by'), 'agent')
    t.equal(shown.body, '{"private/p":"2"}')
    t.equal(await of('GET /key/public%2Fp?stale', { token: 'wrong' }), 401)
    t.equal(await of('PUT /v1/kv/public/p', { body: 'x' }), 401)
    t.equal(await of('PUT /v1/kv/public/p', { token: reader, body: 'x' }), 403)
    t.equal(await of('PUT /v1/kv/public/p', { token: writer, body: 'x' }), 200)
    t.equal(await of('PUT /v1/kv/private/p', { token: writer, body: 'x' }), 403)
    const bearer = [`Authorization: Bearer ${writer}`]
    t.equal(await of('DELETE /v1/kv/public/none', { headers: bearer }), 200)
    t.equal(await of('DELETE /v1/kv/public/none', { headers: [...bearer, ...bearer] }), 400)
    t.ok([400, 414, 431].includes(await of('GET /key/a', { token: 'x'.repeat(1024 * 1024) })))
    t.equal(await of('GET /v1/watch?prefix=private/'), 401)
    t.ok([403, 404].includes(await of('GET /metrics', { token: admin })), 'not through a gateway')
    t.equal(await of('GET /v1/cluster/backup', { token: admin }), 403)
    const first = request('GET', '/key/public%2Fq', `X-Consul-Token: ${writer}`)
    const second = request('GET', '/key/private%2Fp')
    const both = await send(port, first.replace('Connection: close\r\n', '') + second)
    t.strictSame(both.text.match(/(?<=HTTP\/1\.1 )\d{3}/g), ['200', '401'], 'two in one go')
    t.equal((await through(httpPort, 'GET /v1/cluster/backup')).status, 401)
    t.equal((await through(httpPort, 'GET /metrics', { token: reader })).status, 403)
  }
  for (const { nginx } of nodes) {
    // The agents were started after it.
    const own = nginx.complaints().filter(line => !line.includes('connect()'))
    t.strictSame(own, [])
  }
}
