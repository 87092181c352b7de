/**
 * Logs that are shortened, and nodes that are behind them. Run by itself:
 * `npx tsx agent/test/cluster/snapshots.process.ts`.
 */

import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { NodePlace } from '../../../scripts/lib/layout.ts'
import { kill, pause, resume, start, stop } from '../../../scripts/lib/operations.ts'
import { parseMetrics } from '../http/metrics-text.ts'
import { startCluster, type TestCluster, until } from './harness.ts'
import { statusesText } from './load.ts'

t.setTimeout(600_000)

/** So small that some seconds of writes are more than the logs keep. */
const SMALL = {
  snapshot: { snapshot_interval_sec: 1, snapshot_threshold: 50 },
  log: { trailing_logs: 100 },
}

interface LogStatus {
  readonly firstIndex: number
  readonly lastIndex: number
  readonly appliedIndex: number
  readonly chain: { readonly index: number; readonly hash: string }
}

t.test('who missed more than the logs keep returns by a snapshot, while writes go on', async t => {
  const cluster = await startCluster(t, {}, SMALL)
  const load = cluster.load({ prefix: 'behind', writersPerUrl: 4 })
  await cluster.grows(load, 100)
  const behind = await follower(cluster)
  const { lastIndex } = await statusOf(cluster, behind)
  await kill(behind)
  await beyond(cluster, await cluster.leader(), lastIndex)
  const returned = performance.now()
  t.equal(await start(cluster.place, behind), 'ready')
  t.comment(`ready after ${(performance.now() - returned).toFixed(0)} ms`)
  await cluster.grows(load, 100)
  await load.stop()
  t.comment(statusesText(load))
  t.equal(await installs(cluster, behind), 1, 'by one snapshot')
  await equal(t, cluster)
  await cluster.verify(t, load)
  const [key = ''] = load.acknowledged.keys()
  t.equal(await cluster.gateway(behind).read(key), load.acknowledged.get(key), 'through its nginx')
})

t.test('a database that is lost is fetched again, with the log where it was', async t => {
  const cluster = await startCluster(t, {}, SMALL)
  const load = cluster.load({ prefix: 'lost', writersPerUrl: 4 })
  await beyond(cluster, await cluster.leader(), 200)
  const lost = await follower(cluster)
  await beyond(cluster, lost, 200)
  t.equal(await stop(lost), 'ended')
  removeDatabase(lost)
  t.equal(await start(cluster.place, lost), 'ready')
  await cluster.grows(load, 50)
  await load.stop()
  t.equal(await installs(cluster, lost), 1)
  const words = 'the machine ends before the log begins: a snapshot is asked of the leader'
  t.ok(
    linesOf(lost).some(({ msg }) => msg === words),
    'it says so',
  )
  await equal(t, cluster)
  await cluster.verify(t, load)
})

t.test('a restart replays the tail of the log only', async t => {
  const cluster = await startCluster(t, {}, SMALL)
  const load = cluster.load({ prefix: 'tail', writersPerUrl: 4 })
  for (const node of cluster.nodes) await beyond(cluster, node, 1_000)
  for (const end of [stop, kill]) {
    const node = await follower(cluster)
    await end(node)
    t.equal(await start(cluster.place, node), 'ready')
    const { base, last, replays } = linesOf(node).findLast(({ msg }) => msg === 'recovered') ?? {}
    t.comment(`behind ${base?.index} to ${last?.index}: ${replays} entries`)
    t.ok((base?.index ?? 0) > 1_000, 'the log had been shortened')
    t.ok((replays ?? Number.NaN) < (last?.index ?? 0) / 2, 'not all of it')
  }
  await load.stop()
  await equal(t, cluster)
  await cluster.verify(t, load)
})

t.test('nodes in memory keep their logs short too, and help one another', async t => {
  const cluster = await startCluster(t, { inMemory: true }, SMALL)
  const behind = await follower(cluster)
  const rest = cluster.others(behind)
  const load = cluster.load({ prefix: 'memory', writersPerUrl: 2 })
  await cluster.grows(load, 50)
  const { lastIndex } = await statusOf(cluster, behind)
  pause(behind)
  for (const node of rest) await beyond(cluster, node, lastIndex)
  resume(behind)
  await until('it has been given a snapshot', async () => (await installs(cluster, behind)) > 0)
  await load.stop()
  t.comment(statusesText(load))
  await equal(t, cluster)
  await cluster.verify(t, load)
})

async function follower(cluster: TestCluster): Promise<NodePlace> {
  const [node] = cluster.others(await cluster.leader())
  if (node === undefined) throw new Error('nobody follows')
  return node
}

async function statusOf(cluster: TestCluster, node: NodePlace): Promise<LogStatus> {
  return JSON.parse((await cluster.agent(node).get('/status')).body) as LogStatus
}

/** Until its log does not hold that entry any more. */
async function beyond(cluster: TestCluster, node: NodePlace, index: number): Promise<void> {
  await until(
    `the log of ${node.id} begins behind ${index}`,
    async () => (await statusOf(cluster, node)).firstIndex > index + 1,
    120_000,
  )
}

/** How often a snapshot has replaced the state of the agent that runs now. */
async function installs(cluster: TestCluster, node: NodePlace): Promise<number> {
  const { body } = await cluster.agent(node).get('/metrics')
  return parseMetrics(body).samples.get('raft_nginx_snapshots_installed_total') ?? Number.NaN
}

/** All have come to the same, and their logs begin where something was dropped. */
async function equal(t: Test, cluster: TestCluster): Promise<void> {
  await cluster.settled()
  const all = await Promise.all(cluster.nodes.map(node => statusOf(cluster, node)))
  t.equal(new Set(all.map(({ chain }) => `${chain.index} ${chain.hash}`)).size, 1, 'equal')
  for (const { firstIndex, lastIndex } of all) t.comment(`log from ${firstIndex} to ${lastIndex}`)
  t.ok(all.every(({ firstIndex }) => firstIndex > 1))
}

function removeDatabase({ dataDirectory }: NodePlace): void {
  for (const name of ['kv.sqlite', 'kv.sqlite-wal', 'kv.sqlite-shm', 'kv.sqlite.sums']) {
    rmSync(join(dataDirectory, name), { force: true })
  }
}

interface Line {
  readonly msg?: string
  readonly base?: { readonly index: number }
  readonly last?: { readonly index: number }
  readonly replays?: number
}

/** What the agents of this node have logged. */
function linesOf({ agentLog }: NodePlace): readonly Line[] {
  const lines = readFileSync(agentLog, 'utf8').split('\n')
  return lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line) as Line)
}
