/** The examples in nginx/examples, as they stand, on three gateways: each changes what all of them do by one write. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { FORMAT } from '../../../agent/src/gateway/edge-batch.ts'
import { EdgeClient } from '../../../agent/src/gateway/edge-client.ts'
import { type EdgeCluster, type EdgeNode, end, startEdgeCluster } from './edge-cluster.ts'
import { freePort, until } from './fleet.ts'
import { type RawAnswer, send } from './raw-client.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const NAMES = ['maintenance', 'upstreams', 'access', 'hosts'] as const
type Name = (typeof NAMES)[number]

/** Three gateways that serve one of the examples, on a port each. */
interface Site extends Pick<EdgeCluster, 'post' | 'remove'> {
  readonly name: Name
  readonly ports: readonly number[]
}

interface Get {
  readonly path?: string
  readonly host?: string
  readonly headers?: readonly string[]
}

export function examples(t: Test): void {
  t.test('the examples change three gateways by one write, without a reload', async t => {
    const ports: Record<Name, number[]> = { maintenance: [], upstreams: [], access: [], hosts: [] }
    for (const name of NAMES) for (let at = 0; at < 3; at++) ports[name].push(await freePort())
    const blue = await application(t, 'blue')
    const green = await application(t, 'green')
    const textOf = (name: Name, at: number) =>
      replaced(readFileSync(`${ROOT}/nginx/examples/${name}.conf`, 'utf8'), [
        [/listen \d+;/g, `listen 127.0.0.1:${ports[name][at]};`],
        [/\/usr\/share\/raft-nginx\/njs/g, `${ROOT}/build/njs`],
        [/\/usr\/share\/raft-nginx\/examples/g, `${ROOT}/nginx/examples`],
        [/127\.0\.0\.1:9001/g, `127.0.0.1:${blue}`],
        [/127\.0\.0\.1:9002/g, `127.0.0.1:${green}`],
      ])
    const sites = (at: number) =>
      new Map(NAMES.map(name => [`${name}.conf`, textOf(name, at)] as const))
    const { nodes, post, remove } = await startEdgeCluster(t, { sites })
    const workers = nodes.map(({ nginx }) => nginx.workers())

    const site = (name: Name): Site => ({ name, ports: ports[name], post, remove })
    await t.test('maintenance mode, feature flags', t => maintenance(t, site('maintenance')))
    await t.test('blue/green, canary', t => upstreams(t, site('upstreams')))
    await t.test('deny list, API keys', t => access(t, site('access')))
    await t.test('redirects, headers by host', t => hosts(t, site('hosts')))
    t.strictSame(
      nodes.map(({ nginx }) => nginx.workers()),
      workers,
      'no worker came or went',
    )
    for (const { nginx } of nodes) {
      // before its agent served
      const faults = nginx.complaints().filter(line => !line.includes('.sock failed'))
      t.strictSame(faults, [])
    }
    await t.test('where nothing is known', t => unknown(t, nodes[0], ports))
  })
}

async function maintenance(t: Test, site: Site): Promise<void> {
  await shows(t, site, 'open', {}, isText('the shop\n'))
  await site.post({ 'site/maintenance': 'on' })
  await shows(t, site, 'closed', {}, answer => answer.status === 503)
  const closed = await get(site.ports[1], {})
  t.equal(closed.body, 'back soon\n')
  t.equal(closed.headers.get('retry-after'), '60')
  t.equal((await get(site.ports[1], { path: '/health' })).status, 200)
  await site.remove('site/maintenance')
  await shows(t, site, 'open again', {}, isText('the shop\n'))
  await shows(t, site, 'the flag is off', { path: '/checkout' }, isText('the old checkout\n'))
  await site.post({ 'flag/new-checkout': 'on' }, 2)
  await shows(t, site, 'the flag is on', { path: '/checkout' }, isText('the new checkout\n'))
}

async function upstreams(t: Test, site: Site): Promise<void> {
  const host = 'shop.example'
  const write = (pool: object) => site.post({ [`pool/${host}`]: JSON.stringify(pool) })
  await shows(t, site, 'blue unless told', { host }, isText('blue'))
  await write({ stable: 'green' })
  await shows(t, site, 'green', { host }, isText('green'))
  t.equal((await get(site.ports[0], { host: 'other.example' })).body, 'blue', 'of this host only')
  await write({ stable: 'blue', canary: 'green', percent: 100 })
  await shows(t, site, 'all to the canary', { host }, isText('green'))
  await write({ stable: 'blue', canary: 'green', percent: 30 })
  const visitor = (at: number) => ({ host, headers: [`Cookie: visitor=visitor${at}`] })
  const some = Array.from({ length: 200 }, (_, at) => visitor(at))
  const drawn = async (port: number | undefined) => {
    const answers = await Promise.all(some.map(each => get(port, each)))
    return answers.map(({ body }) => body)
  }
  await until('a part of the visitors', async () => (await drawn(site.ports[2])).includes('blue'))
  const first = await drawn(site.ports[0])
  const canaries = first.filter(body => body === 'green').length
  t.ok(canaries > 30 && canaries < 90, `${canaries} of 200 visitors are of the 30 %`)
  await until('the same ones everywhere', async () => {
    const others = [await drawn(site.ports[1]), await drawn(site.ports[2])]
    return others.every(bodies => bodies.join() === first.join())
  })
  await write({ stable: 'http://evil.example', canary: '127.0.0.1:1', percent: 100 })
  await shows(t, site, 'what is no pool of ours', visitor(1), isText('blue'))
  await site.post({ [`pool/${host}`]: 'no JSON' })
  await shows(t, site, 'what is no JSON', visitor(1), isText('blue'))
}

async function access(t: Test, site: Site): Promise<void> {
  const secret = 'k-2Zs9'
  const name = `api-key/${createHash('sha256').update(secret).digest('hex')}`
  const headers = [`X-Api-Key: ${secret}`]
  const status = (wanted: number) => (answer: RawAnswer) => answer.status === wanted
  await shows(t, site, 'no key, no entry', {}, status(401))
  await shows(t, site, 'a key that nobody was given', { headers }, status(401))
  await site.post({ [name]: '{"client":"acme"}' })
  await shows(t, site, 'a key that was given', { headers }, isText('hello acme\n'))
  t.equal((await get(site.ports[0], { headers: ['X-Api-Key: k-2Zs8'] })).status, 401)
  await site.post({ 'deny/127.0.0.1': 'scans us' }, 1)
  await shows(t, site, 'denied', { headers }, status(403))
  await site.remove('deny/127.0.0.1', 2)
  await shows(t, site, 'forgiven', { headers }, isText('hello acme\n'))
  await site.remove(name)
  await shows(t, site, 'a key that was taken back', { headers }, status(401))
}

async function hosts(t: Test, site: Site): Promise<void> {
  const host = 'shop.example'
  const old = { host, path: '/old%20page' }
  await shows(t, site, 'nowhere else', old, isText('shop.example\n'))
  await site.post({ [`redirect/${host}/old page`]: 'https://shop.example/new' })
  await shows(t, site, 'redirected', old, ({ status, headers }) => {
    return status === 302 && headers.get('location') === 'https://shop.example/new'
  })
  t.equal((await get(site.ports[0], { ...old, host: 'other.example' })).status, 200)
  await site.post({ [`redirect/${host}/old page`]: 'https://x/\r\nSet-Cookie: a=b' })
  await shows(t, site, 'no place to go to', old, isText('shop.example\n'))
  await site.post({ [`headers/${host}`]: '{"X-Frame-Options":"DENY","Content-Length":"0"}' })
  await shows(t, site, 'with a header', { host }, ({ status, headers, body }) => {
    return status === 200 && headers.get('x-frame-options') === 'DENY' && body === `${host}\n`
  })
  const other = await get(site.ports[0], { host: 'other.example' })
  t.notOk(other.headers.has('x-frame-options'), 'of this host only')
}

/** Open, blue, closed: as each of them says. */
async function unknown(
  t: Test,
  node: EdgeNode | undefined,
  ports: Readonly<Record<Name, readonly number[]>>,
): Promise<void> {
  if (node === undefined) throw new Error('there is a first gateway')
  await end(node.agent)
  const client = new EdgeClient(path.join(node.prefix, 'run/edge.sock'), 1_000)
  const unsaid = { copy: '', part: 0, more: false, knownAt: 0, only: [], open: null, ops: [] }
  const reset = { format: FORMAT, kind: 'reset', epoch: 'x', node: 'x', from: 0, to: 0 }
  const answer = await client.post(JSON.stringify({ ...unsaid, ...reset }))
  client.close()
  t.match(answer, { kind: 'answer', status: 200 })
  t.equal((await get(ports.maintenance[0], {})).body, 'the shop\n')
  t.equal((await get(ports.upstreams[0], { host: 'shop.example' })).body, 'blue')
  t.equal((await get(ports.access[0], {})).status, 503)
  t.equal((await get(ports.hosts[0], {})).status, 200)
}

function isText(text: string): (answer: RawAnswer) => boolean {
  return ({ status, body }) => status === 200 && body === text
}

/** All three gateways come to answer like this; says how long the last of them took. */
async function shows(
  t: Test,
  { name, ports }: Site,
  what: string,
  ...[asked, fits]: [Get, (answer: RawAnswer) => boolean]
): Promise<void> {
  const begun = performance.now()
  const took = await Promise.all(
    ports.map(async (port, at) => {
      let last = ''
      const right = async () => {
        const answer = await get(port, asked)
        last = answer.text
        return fits(answer)
      }
      await until(`${name}, ${what}, at gateway ${at}`, right).catch(cause => {
        throw new Error(`the last answer: ${last}`, { cause })
      })
      return performance.now() - begun
    }),
  )
  t.pass(`${name}: ${what}: on all three ${Math.max(...took).toFixed(0)} ms later`)
}

function get(port: number | undefined, asked: Get): Promise<RawAnswer> {
  const { path: target = '/', host = 'localhost', headers = [] } = asked
  const lines = [`GET ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...headers]
  return send(port ?? 0, `${lines.join('\r\n')}\r\n\r\n`)
}

/** @returns its port */
async function application(t: Test, name: string): Promise<number> {
  const server = http.createServer((_, response) => {
    response.writeHead(200, { 'Content-Length': name.length }).end(name)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

function replaced(text: string, pairs: readonly (readonly [RegExp, string])[]): string {
  return pairs.reduce((before, [pattern, other]) => before.replace(pattern, other), text)
}
