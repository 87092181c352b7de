/**
 * Linearizable reads, repeated writes and orderly restarts under load.
 * Run by itself: `npx tsx agent/test/cluster/reads-and-restarts.process.ts`.
 */

import t from 'tap'
import type { NodePlace } from '../../../scripts/lib/layout.ts'
import { kill, pause, resume, start, stop } from '../../../scripts/lib/operations.ts'
import { Follower } from './follower.ts'
import { startCluster, type TestCluster, until } from './harness.ts'
import { statusesText } from './load.ts'

t.setTimeout(600_000)

t.test('a rolling restart under load loses no write', async t => {
  const cluster = await startCluster(t)
  for (let round = 0; round < 2; round++) {
    const load = cluster.load({ prefix: `rolling-${round}`, writersPerUrl: 4 })
    for (const node of cluster.nodes) {
      await cluster.grows(load, 100)
      const led = (await cluster.leader()).id === node.id
      const stopped = performance.now()
      t.equal(await stop(node), 'ended', `${node.id} ends by itself`)
      await until('writes go on', () => load.firstAcknowledgedAfter(stopped) !== null)
      const ms = (load.firstAcknowledgedAfter(stopped) ?? Number.NaN) - stopped
      t.comment(
        `${node.id}${led ? ', the leader,' : ''} stopped: next write after ${ms.toFixed(0)} ms`,
      )
      t.equal(await start(cluster.place, node), 'ready')
    }
    await load.stop()
    t.comment(statusesText(load))
    const strange = [...load.statuses.keys()].filter(status => ![200, 503, 504].includes(status))
    t.strictSame(strange, [])
    await cluster.verify(t, load)
  }
})

t.test(
  'a watch goes on behind what it has seen, whichever agent was killed or stopped',
  async t => {
    const cluster = await startCluster(t)
    const ports = cluster.nodes.map(({ gatewayPort }) => gatewayPort)
    const roaming = new Follower(ports)
    const followers = [...ports.map(port => new Follower([port])), roaming]
    const load = cluster.load({ prefix: 'watched', writersPerUrl: 1 })
    for (const how of [kill, stop, kill]) {
      const leader = await cluster.leader()
      for (const node of [leader, ...cluster.others(leader).slice(0, 1)]) {
        await cluster.grows(load, 50)
        await how(node)
        roaming.cut()
        await cluster.grows(load, 50)
        t.equal(await start(cluster.place, node), 'ready')
      }
    }
    await load.stop()
    await cluster.verify(t, load)
    const known = () => Math.max(...followers.map(({ last }) => last))
    await until('all have heard of all', () => followers.every(({ last }) => last === known()))
    await Promise.all(followers.map(follower => follower.stop()))
    for (const { changes, statuses } of followers) {
      t.comment([...statuses].map(([status, count]) => `${status}: ${count}`).join(', '))
      t.notOk(statuses.has(410), 'nothing was compacted')
      const indexes = changes.map(({ index }) => index)
      t.strictSame(
        indexes,
        [...new Set(indexes)].sort((a, b) => a - b),
        'each once, in order',
      )
      t.same(changes, roaming.changes, 'what all others have heard')
    }
    const heard = new Set(roaming.changes.flatMap(({ changes }) => changes.map(({ key }) => key)))
    const missing = [...load.acknowledged.keys()].filter(key => !heard.has(key))
    t.strictSame(missing, [], 'every answered write')
  },
)

t.test('?consistent through any gateway shows what was answered before, whoever leads', async t => {
  const cluster = await startCluster(t)
  const disturb = disturbance(cluster)
  for (let round = 0; round < 150; round++) {
    const writer = cluster.gateway(at(cluster, round))
    const written = await until2xx(() => writer.write({ k: `${round}` }))
    t.equal(written, 200)
    for (const node of cluster.nodes) {
      const { status, body } = await cluster.gateway(node).get('/key/k?consistent')
      if (status === 200 && body !== `{"k":"${round}"}`)
        t.fail(`${node.id}: ${body} in round ${round}`)
      if (![200, 503, 504].includes(status)) t.fail(`${node.id}: ${status}`)
    }
    if (round % 50 === 25) await disturb()
  }
  await cluster.settled()
  for (const node of cluster.nodes) {
    const { body } = await cluster.gateway(node).get('/key/k?consistent')
    t.equal(body, '{"k":"149"}')
  }
})

t.test(
  'a write with an Idempotency-Key takes effect once, whichever gateways it comes through',
  async t => {
    const cluster = await startCluster(t)
    const repeat = (node: NodePlace, value: string) =>
      cluster.gateway(node).ask({
        method: 'POST',
        path: '/key',
        body: JSON.stringify({ k: value }),
        headers: { 'Idempotency-Key': 'request-1' },
      })
    t.equal((await repeat(at(cluster, 0), 'first')).status, 200)
    t.equal((await cluster.gateway(at(cluster, 1)).write({ k: 'second' })).status, 200)
    const leader = await cluster.leader()
    await kill(leader)
    for (const node of cluster.others(leader)) {
      const answered = async () => (await repeat(node, 'first')).status === 200
      await until(`the repetition is answered through ${node.id}`, answered)
    }
    t.equal(await start(cluster.place, leader), 'ready')
    await cluster.settled()
    for (const node of cluster.nodes) t.equal(await cluster.agent(node).read('k'), 'second')
    const other = await repeat(at(cluster, 1), 'third')
    t.equal(other.status, 422)
    t.match(JSON.parse(other.body), { code: 'KEY_REUSED' })
  },
)

function at(cluster: TestCluster, index: number): NodePlace {
  const node = cluster.nodes[index % cluster.nodes.length]
  if (node === undefined) throw new Error('a cluster has nodes')
  return node
}

/** Refused writes have not happened: ask again. Unknown ones may have, with the same value. */
async function until2xx(write: () => Promise<{ readonly status: number }>): Promise<number> {
  let status = 0
  await until('the write is answered', async () => {
    status = (await write()).status
    return status === 200
  })
  return status
}

/** By turns: an orderly stop of the leader, a kill, a pause until another leads. */
function disturbance(cluster: TestCluster): () => Promise<void> {
  const kinds = ['stop', 'kill', 'pause'] as const
  let turn = 0
  return async () => {
    const leader = await cluster.leader()
    const kind = kinds[turn++ % kinds.length]
    if (kind === 'pause') {
      pause(leader)
      await until('another leads', async () => {
        const statuses = await Promise.all(
          cluster.others(leader).map(node => cluster.agent(node).get('/raft')),
        )
        return statuses.some(({ body }) => body.includes('"Leader"'))
      })
      resume(leader)
      return
    }
    if (kind === 'kill') await kill(leader)
    else await stop(leader)
    await start(cluster.place, leader)
  }
}
