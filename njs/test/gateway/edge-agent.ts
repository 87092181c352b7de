/** A real agent behind a real nginx: what is written through the gateway is read out of nginx's memory. */

import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { main as render } from '../../../agent/src/gateway/render-main.ts'
import { end, postPairs, startEdgeCluster } from './edge-cluster.ts'
import { servedBy } from './edge-fleet.ts'
import { ENGINE, freePort, NGINX, Nginx, temporaryFolder, until } from './fleet.ts'
import { request, send } from './raw-client.ts'

const AGENT = fileURLToPath(new URL('../../../agent/dist/main.js', import.meta.url))

export function edgeAgent(t: Test): void {
  consul(t)
  prefixes(t)
  t.test('a real agent: written through the gateway, read in nginx', async t => {
    const folder = temporaryFolder(t)
    const config = path.join(folder, 'agent.json')
    const ports = { http: await freePort(), raft: await freePort(), gateway: await freePort() }
    const node = {
      id: 'node0',
      address: `127.0.0.1:${ports.http}`,
      raft_bind: `127.0.0.1:${ports.raft}`,
    }
    const prefix = path.join(folder, 'prefix')
    const edge = { socket: path.join(prefix, 'run/edge.sock') }
    const server = { socket: path.join(folder, 'agent.sock') }
    writeFileSync(config, JSON.stringify({ nodes: [node], node_id: 'node0', server, edge }))
    const args = ['--config', config, '--prefix', prefix, '--nginx', NGINX, '--workers', '2']
    const listen = ['--listen', `127.0.0.1:${ports.gateway}`, '--edge-reads', '4m']
    t.equal(await render([...args, ...listen, ...ENGINE]), 0)
    const nginx = await Nginx.start(prefix, ports.gateway)
    t.teardown(() => nginx.stop())
    let agent = startAgent(config)
    t.teardown(() => end(agent))

    const post = (pairs: Record<string, string>) => postPairs(ports.gateway, pairs)
    const read = (key: string) => send(ports.gateway, request('GET', `/key/${key}?stale`))
    const inNginx = (key: string, value: string) =>
      until(`${key} is in nginx`, async () => {
        const answer = await read(key)
        return servedBy(answer) === 'nginx' && answer.body === JSON.stringify({ [key]: value })
      })

    await until('it leads', async () => (await post({ first: 'one' })).status === 200)
    await inNginx('first', 'one')
    const wrong: string[] = []
    for (let at = 0; at < 200; at++) {
      const written = await post({ counter: String(at) })
      const answer = await read('counter')
      const behind =
        Number(answer.headers.get('x-raft-index')) < Number(written.headers.get('x-raft-index'))
      if (answer.body !== `{"counter":"${at}"}` || behind) wrong.push(answer.text)
    }
    t.strictSame(wrong, [], 'each write is in the next read')
    await inNginx('counter', '199')
    const fromAgent = await send(ports.gateway, request('GET', '/key/counter'))
    t.equal(servedBy(fromAgent), 'agent')
    t.equal((await read('counter')).body, fromAgent.body)

    await end(agent)
    const dead = await read('counter')
    t.equal(servedBy(dead), 'nginx', 'with the agent dead')
    t.equal(dead.body, '{"counter":"199"}')
    agent = startAgent(config)
    await until('it leads again', async () => (await post({ later: 'two' })).status === 200)
    await inNginx('later', 'two')
    await inNginx('first', 'one')
    t.equal((await send(ports.gateway, request('DELETE', '/key/first'))).status, 200)
    await inNginx('first', '')
    // that the agent was away is told too
    const faults = nginx.complaints().filter(line => !line.includes('agent.sock failed'))
    t.strictSame(faults, [])
  })
}

function startAgent(config: string): ChildProcess {
  return spawn(process.execPath, [AGENT, '--config', config], { stdio: 'ignore' })
}

/** Headers that say what was read, not when. */
const TOLD = [
  'content-type',
  'cache-control',
  'etag',
  'x-consul-index',
  'x-consul-knownleader',
  'x-content-type-options',
  'content-security-policy',
]

function consul(t: Test): void {
  t.test('Consul’s route: nginx answers as the agent does', async t => {
    const { nodes, put } = await startEdgeCluster(t)
    const [node] = nodes
    if (node === undefined) throw new Error('there is a first gateway')
    await put('plain', 'one')
    await put('plain', 'two')
    await put('a/b c/é', Buffer.from('<é>').toString('latin1'), '?flags=18446744073709551615')
    await put('typed', '<b>', '', 'Content-Type: text/html; charset=utf-8')
    await put('empty', '')
    await put('binary', '\u00ff\u0000x')
    await postPairs(node.port, { pair: 'p', plain: 'three' })
    const paths = [
      'plain',
      'a/b%20c/%C3%A9',
      'a%2fb%20c/%c3%a9',
      'typed',
      'empty',
      'binary',
      'pair',
    ]
    for (const path of paths) {
      for (const [edge, own] of [
        ['stale', ''],
        ['max_stale=30s', ''],
        ['stale&raw', '?raw'],
        ['raw&max_stale=60000ms', '?raw'],
      ]) {
        const target = `/v1/kv/${path}?${edge}`
        const read = () => send(node.port, request('GET', target))
        await until(`${target} is in nginx`, async () => servedBy(await read()) === 'nginx')
        const told = await read()
        const wanted = await send(node.httpPort, request('GET', `/v1/kv/${path}${own}`))
        t.equal(servedBy(wanted), 'agent')
        t.equal(told.status, 200)
        t.equal(told.body, wanted.body, target)
        for (const name of TOLD) {
          t.equal(told.headers.get(name), wanted.headers.get(name), `${target}: ${name}`)
        }
        const contact = Number(told.headers.get('x-consul-lastcontact'))
        t.equal(contact, Number(told.headers.get('x-raft-staleness-ms')))
      }
    }
    const head = await send(node.port, request('HEAD', '/v1/kv/plain?stale'))
    t.equal(servedBy(head), 'nginx')
    t.equal(head.body, '')
    const asked = [
      'nothing?stale',
      'plain',
      'plain?stale&recurse',
      'a/?keys&stale',
      'plain?stale&x',
    ]
    for (const each of [...asked, '?stale', 'plain?stale&index=1&wait=1ms']) {
      t.equal(servedBy(await send(node.port, request('GET', `/v1/kv/${each}`))), 'agent', each)
    }
    const etag = (await send(node.port, request('GET', '/v1/kv/plain?stale'))).headers.get('etag')
    const same = request('GET', '/v1/kv/plain?stale', `If-None-Match: ${etag}`)
    t.equal((await send(node.port, same)).status, 304)
    for (const { nginx } of nodes) {
      const faults = nginx.complaints().filter(line => !line.includes('.sock failed'))
      t.strictSame(faults, [])
    }
  })
}

function prefixes(t: Test): void {
  t.test('only keys of the configured prefixes are there', async t => {
    const settings = (at: number) =>
      at === 0 ? { prefixes: ['flag/', 'é'] } : { prefixes: [] as string[] }
    const { nodes, post } = await startEdgeCluster(t, { edge: settings })
    const written = await post({ 'flag/a': '1', é2: '2', other: '3', flag: '4' })
    t.equal(written.status, 200)
    const read = (at: number, key: string) =>
      send(nodes[at]?.port ?? 0, request('GET', `/key/${encodeURIComponent(key)}?stale`))
    const served = async (at: number, key: string) => servedBy(await read(at, key))
    for (const key of ['flag/a', 'é2']) {
      await until(`${key} is there`, async () => (await served(0, key)) === 'nginx')
    }
    t.equal((await read(0, 'flag/a')).body, '{"flag/a":"1"}')
    t.equal(await served(0, 'flag/missing'), 'nginx')
    t.equal(await served(0, 'other'), 'agent')
    t.equal(await served(0, 'flag'), 'agent')
    await until('all is there', async () => (await served(1, 'other')) === 'nginx')
  })
}
