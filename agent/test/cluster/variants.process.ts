/** Clusters of other kinds, and agents that must not take part. Run by itself: `npx tsx agent/test/cluster/variants.process.ts`. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { agentPid, agentStatus, startAgent } from '../../../scripts/lib/agent-server.ts'
import type { NodePlace } from '../../../scripts/lib/layout.ts'
import { down, kill, start, stop, up, wipe } from '../../../scripts/lib/operations.ts'
import { endServer } from '../../../scripts/lib/processes.ts'
import { freeBasePort, startCluster, until } from './harness.ts'

t.setTimeout(300_000)

t.test('a cluster of one node: writes, and keeps them through kill -9', async t => {
  const cluster = await startCluster(t, { nodes: 1 })
  const node = first(cluster.nodes)
  const load = cluster.load({ prefix: 'one', writersPerUrl: 4 })
  await until('writes are acknowledged', () => load.acknowledged.size > 100)
  await kill(node)
  await load.stop()
  t.equal(await start(cluster.place, node), 'ready')
  await cluster.verify(t, load)
  t.equal((await cluster.gateway(node).write({ again: 'yes' })).status, 200)
})

t.test('a cluster of five', async t => {
  const cluster = await startCluster(t, { nodes: 5 })
  const load = cluster.load({ prefix: 'five', writersPerUrl: 1 })
  await until('writes are acknowledged', () => load.acknowledged.size > 100)
  const leader = await cluster.leader()
  const [other] = cluster.others(leader)
  await Promise.all([kill(leader), kill(other ?? leader)])
  const before = load.acknowledged.size
  await until('three of five write on', () => load.acknowledged.size > before + 100)
  await up(cluster.place)
  await load.stop()
  await cluster.verify(t, load)
})

t.test('a cluster in memory serves and writes no data', async t => {
  const cluster = await startCluster(t, { inMemory: true })
  const load = cluster.load({ prefix: 'memory', writersPerUrl: 2 })
  await until('writes are acknowledged', () => load.acknowledged.size > 100)
  await load.stop()
  await cluster.verify(t, load)
  for (const node of cluster.nodes) t.notOk(existsSync(node.dataDirectory), 'no data directory')
})

t.test('a wiped node comes back as a stranger: it is refused, and the rest goes on', async t => {
  const cluster = await startCluster(t)
  const leader = await cluster.leader()
  const wiped = first(cluster.others(leader))
  t.equal((await cluster.gateway(leader).write({ before: 'yes' })).status, 200)
  await wipe(wiped)
  t.notOk(existsSync(wiped.dataDirectory))
  await startAgent(wiped)
  await until('somebody says that it is a stranger', () =>
    cluster.nodes.some(node => /incarnation|stranger|wiped|lost its data/i.test(logOf(node))),
  )
  const load = cluster.load({ prefix: 'rest', writersPerUrl: 2 })
  await until('the rest writes on', () => load.acknowledged.size > 100)
  t.equal((await agentStatus(leader))?.role, 'leader', 'the leader is not disturbed')
  await load.stop()
  for (const node of cluster.others(wiped)) {
    t.equal(await cluster.agent(node).read('before'), 'yes', node.id)
  }
  const status = await agentStatus(wiped)
  t.not(status?.ready, true, 'the stranger is not ready')
  t.equal(status?.appliedIndex ?? 0, 0, 'and was given nothing')
  await down(cluster.place.directory)
  const { refused } = await up(cluster.place)
  const strangers = refused.map(({ node }) => node.id)
  t.strictSame(strangers, [wiped.id], 'the cluster starts without it, and says so')
  t.equal((await cluster.gateway(leader).write({ after: 'yes' })).status, 200)
})

t.test('a second agent on the same data directory refuses to start', async t => {
  const cluster = await startCluster(t, { nodes: 1 })
  const node = first(cluster.nodes)
  t.equal((await cluster.gateway(node).write({ a: 'b' })).status, 200)
  const basePort = await freeBasePort({ ...cluster.place.shape, nodes: 1 })
  const settings = JSON.parse(readFileSync(node.configFile, 'utf8')) as {
    nodes: Record<string, string>[]
    server: Record<string, string>
  }
  const own = settings.nodes[0] ?? {}
  const second: NodePlace = {
    ...node,
    configFile: join(node.directory, 'second.json'),
    agentPidFile: join(node.directory, 'second.pid'),
    agentLog: join(node.directory, 'second.log'),
  }
  const nodes = [
    { ...own, address: `127.0.0.1:${basePort + 85}`, raft_bind: `127.0.0.1:${basePort + 86}` },
  ]
  const server = { socket: `${node.socket}2` }
  writeFileSync(second.configFile, JSON.stringify({ ...settings, nodes, server }))
  const started = await startAgent(second)
  t.teardown(() => endServer({ pidFile: second.agentPidFile, mark: second.configFile }, 1_000))
  await until('it ends', () => started.ended() !== null)
  t.equal(started.ended(), 'exit code 1')
  t.match(logOf(second), /in use|another|already|lock/i, 'and says why')
  t.equal(await cluster.gateway(node).read('a'), 'b', 'the first one serves')
  t.equal((await cluster.gateway(node).write({ c: 'd' })).status, 200)
  await stop(node)
  t.equal(agentPid(node), null)
  await up(cluster.place)
  t.equal(await cluster.gateway(node).read('c'), 'd')
})

function logOf(node: NodePlace): string {
  return existsSync(node.agentLog) ? readFileSync(node.agentLog, 'utf8') : ''
}

function first(nodes: readonly NodePlace[]): NodePlace {
  const [node] = nodes
  if (node === undefined) throw new Error('a cluster has nodes')
  return node
}
