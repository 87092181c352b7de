/** What a user does through the gateways. Run by itself: `npx tsx agent/test/cluster/gateways.process.ts`. */

import t from 'tap'
import { agentPid, startAgent } from '../../../scripts/lib/agent-server.ts'
import { gatewayPid } from '../../../scripts/lib/gateway-server.ts'
import { agentUrl, gatewayUrl } from '../../../scripts/lib/layout.ts'
import {
  kill,
  killGateway,
  reloadGateway,
  start,
  startNginx,
  stop,
} from '../../../scripts/lib/operations.ts'
import { groupEnds } from '../../../scripts/lib/processes.ts'
import type { Client } from './client.ts'
import { startCluster, until } from './harness.ts'
import { statusesText } from './load.ts'

t.setTimeout(300_000)

t.test('the examples of the README, each through every gateway', async t => {
  const cluster = await startCluster(t)
  const leader = await cluster.leader()
  for (const [at, node] of cluster.nodes.entries()) {
    const gateway = cluster.gateway(node)
    const key = `user${at}`
    const written = await gateway.write({ [key]: 'batman', [`${key}-too`]: 'robin' })
    t.equal(written.status, 200, `POST through ${node.id}`)
    t.equal(written.body, '')
    for (const reader of cluster.nodes) await seen(cluster.gateway(reader), key, 'batman')
    const removed = await gateway.remove(key)
    t.equal(removed.status, 200, `DELETE through ${node.id}`)
    for (const reader of cluster.nodes) await seen(cluster.gateway(reader), key, '')
    t.equal(await gateway.read(`${key}-too`), 'robin')
    const raft = await gateway.get('/raft')
    const State = node === leader ? 'Leader' : 'Follower'
    t.strictSame(JSON.parse(raft.body), { State, Node: node.id })
    const status = JSON.parse((await gateway.get('/status')).body)
    t.match(status, { me: { id: node.id }, leader: { id: leader.id } })
    t.equal(status.followers.length, 2)
    t.equal((await gateway.get('/readyz')).status, 200)
  }
})

t.test('redirect mode: followers answer 307 with the same target at the leader', async t => {
  const cluster = await startCluster(t, { writeMode: 'redirect' })
  const leader = await cluster.leader()
  t.equal((await cluster.gateway(leader).write({ own: 'yes' })).status, 200)
  for (const node of cluster.others(leader)) {
    const answer = await cluster.gateway(node).write({ [node.id]: 'batman' })
    t.equal(answer.status, 307)
    t.equal(answer.headers.location, `${gatewayUrl(leader)}/key`)
    // as curl -L does: method and body stay
    t.equal((await cluster.gateway(leader).write({ [node.id]: 'batman' })).status, 200)
    for (const reader of cluster.nodes) await seen(cluster.gateway(reader), node.id, 'batman')
    const removal = await cluster.gateway(node).remove(node.id)
    t.equal(removal.headers.location, `${gatewayUrl(leader)}/key/${node.id}`)
  }
})

t.test(
  'SIGTERM under load: exit code 0 in under 2 s, and nothing acknowledged is lost',
  async t => {
    const cluster = await startCluster(t)
    const load = cluster.load({ prefix: 'term', writersPerUrl: 4 })
    for (const node of [await cluster.leader(), ...cluster.others(await cluster.leader())]) {
      await stop(node)
      const started = await startAgent(node)
      await until(
        'it is ready',
        async () => (await cluster.agent(node).get('/readyz')).status === 200,
      )
      const before = load.acknowledged.size
      await until('writes go on', () => load.acknowledged.size > before + 100)
      const begin = performance.now()
      process.kill(started.pid, 'SIGTERM')
      t.ok(await groupEnds(started.pid, 5_000), 'it ends')
      const ms = performance.now() - begin
      await until('its end is known', () => started.ended() !== null)
      t.equal(started.ended(), 'exit code 0')
      t.ok(ms < 2_000, 'in under 2 s')
      t.comment(`${node.id} stopped in ${ms.toFixed(0)} ms`)
      t.equal(await start(cluster.place, node), 'ready')
    }
    await load.stop()
    t.comment(statusesText(load))
    await cluster.verify(t, load)
  },
)

t.test('nginx and agent each survive the other', async t => {
  const cluster = await startCluster(t)
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('a cluster has nodes')
  const agent = agentPid(node)
  t.ok(await killGateway(node), 'nginx is killed')
  t.equal((await cluster.agent(node).get('/readyz')).status, 200, 'its agent serves')
  await startNginx(cluster.place, node)
  t.equal(agentPid(node), agent, 'the same agent')
  t.equal((await cluster.gateway(node).write({ a: '1' })).status, 200)
  const nginx = gatewayPid(node)
  await kill(node)
  const read = await cluster.gateway(node).get('/key/a')
  t.equal(read.status, 503, 'a dead agent shows as 503')
  t.match(JSON.parse(read.body), { code: 'AGENT_DOWN' })
  t.ok(read.headers['retry-after'])
  await start(cluster.place, node)
  t.equal(gatewayPid(node), nginx, 'the same nginx')
  t.equal(await cluster.gateway(node).read('a'), '1')
  t.equal((await cluster.gateway(node).write({ a: '2' })).status, 200)
})

t.test('reloads of nginx under load lose no request', async t => {
  const cluster = await startCluster(t)
  const load = cluster.load({ prefix: 'reload', writersPerUrl: 4 })
  for (const node of cluster.nodes) {
    const before = load.acknowledged.size
    await until('writes go on', () => load.acknowledged.size > before + 300)
    await reloadGateway(cluster.place, node)
  }
  const before = load.acknowledged.size
  await until('writes go on', () => load.acknowledged.size > before + 300)
  await load.stop()
  t.strictSame([...load.statuses.keys()], [200], statusesText(load))
  await cluster.verify(t, load)
})

t.test('the agents are reached past nginx by operators', async t => {
  const cluster = await startCluster(t, { nginx: false })
  const leader = await cluster.leader()
  t.equal((await cluster.agent(leader).write({ a: 'b' })).status, 200)
  for (const node of cluster.others(leader)) {
    const refused = await cluster.agent(node).write({ c: 'd' })
    t.equal(refused.status, 421, 'a follower takes no write')
    t.match(JSON.parse(refused.body), { code: 'NOT_LEADER', leader: { id: leader.id } })
    await seen(cluster.agent(node), 'a', 'b')
    t.equal((await fetch(`${agentUrl(node)}/livez`)).status, 200)
  }
})

/** A read is answered by the node next door, which may be a moment behind. */
async function seen(client: Client, key: string, value: string): Promise<void> {
  await until(`${key} is ${JSON.stringify(value)}`, async () => (await client.read(key)) === value)
}
