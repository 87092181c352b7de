/** A real agent behind a real nginx: what is written through the gateway is read out of nginx's memory. */

import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { main as render } from '../../../agent/src/gateway/render-main.ts'
import { end, postPairs } from './edge-cluster.ts'
import { servedBy } from './edge-fleet.ts'
import { freePort, NGINX, Nginx, temporaryFolder, until } from './fleet.ts'
import { request, send } from './raw-client.ts'

const AGENT = fileURLToPath(new URL('../../../agent/dist/main.js', import.meta.url))

export function edgeAgent(t: Test): void {
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
    t.equal(await render([...args, ...listen]), 0)
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
