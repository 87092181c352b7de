/** Agents that know each other, on real processes. Run by itself: `npx tsx agent/test/cluster/peer-security.process.ts`. */

import { spawnSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { agentPid, agentStatus, startAgent } from '../../../scripts/lib/agent-server.ts'
import { type NodePlace, ROOT } from '../../../scripts/lib/layout.ts'
import { kill, start, stop } from '../../../scripts/lib/operations.ts'
import { certificateDirectory } from '../../../scripts/lib/peers.ts'
import { startCluster, type TestCluster, temporaryDirectory, until } from './harness.ts'

t.setTimeout(120_000)

const PROGRAM = join(ROOT, 'agent/dist/cli/raft-nginx.js')

function command(...args: readonly string[]) {
  return spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' })
}

const logOf = (node: NodePlace) => readFileSync(node.agentLog, 'utf8')
const rereadings = (node: NodePlace) => logOf(node).split('SIGHUP: read again').length - 1

/** All agents have read their files again. */
async function hangUp({ nodes }: TestCluster): Promise<void> {
  const before = new Map(nodes.map(node => [node, rereadings(node)]))
  for (const node of nodes) process.kill(agentPid(node) ?? 0, 'SIGHUP')
  for (const [node, count] of before) {
    await until(`${node.id} has read them`, () => rereadings(node) > count)
  }
}

async function termOf(cluster: TestCluster): Promise<number> {
  return (await agentStatus(await cluster.leader()))?.term ?? -1
}

async function allLinked({ nodes }: TestCluster): Promise<void> {
  await until('all are connected', async () => {
    const all = await Promise.all(nodes.map(agentStatus))
    const links = all.flatMap(status => status?.links ?? [])
    const wanted = nodes.length * (nodes.length - 1)
    return links.length === wanted && links.every(link => link.lastError === null)
  })
}

t.test('certificates: a new CA under load, kill -9, a joining node, a foreign one', async t => {
  const cluster = await startCluster(t, { peers: 'tls' })
  const tls = certificateDirectory(cluster.place)
  const next = join(cluster.place.directory, 'next')
  const ids = cluster.nodes.map(({ id }) => id).join()
  const made = command('tls', 'init', '--dir', next, '--nodes', ids)
  t.equal(made.status, 0, made.stderr)
  const load = cluster.load({ prefix: 'rotation', writersPerUrl: 2 })
  await cluster.grows(load, 50)
  const term = await termOf(cluster)
  const [ca, newCa] = [tls, next].map(directory => readFileSync(join(directory, 'ca.pem'), 'utf8'))
  writeFileSync(join(tls, 'ca.pem'), `${ca}${newCa}`)
  await hangUp(cluster)
  await cluster.grows(load, 50)
  for (const { id } of cluster.nodes) {
    for (const name of [`${id}.pem`, `${id}.key`]) copyFileSync(join(next, name), join(tls, name))
  }
  await hangUp(cluster)
  await cluster.grows(load, 50)
  copyFileSync(join(next, 'ca.pem'), join(tls, 'ca.pem'))
  await hangUp(cluster)
  await cluster.grows(load, 200)
  await load.stop()
  t.comment(`answers while the CA was changed: ${JSON.stringify([...load.statuses])}`)
  // A machine that stalls may have elected anew: refused then, which is surely not written.
  const allowed = [200, ...((await termOf(cluster)) === term ? [] : [503])]
  const others = [...load.statuses.keys()].filter(status => !allowed.includes(status))
  t.strictSame(others, [], 'the change costs no write')
  await cluster.verify(t, load)
  await allLinked(cluster)

  const leader = await cluster.leader()
  const [other = leader] = cluster.others(leader)
  writeFileSync(join(tls, `${other.id}.pem`), 'broken')
  process.kill(agentPid(other) ?? 0, 'SIGHUP')
  await until('said so', () => logOf(other).includes('SIGHUP: all stays as it was'))
  t.equal((await cluster.gateway(other).write({ broken: 'file' })).status, 200)
  copyFileSync(join(next, `${other.id}.pem`), join(tls, `${other.id}.pem`))

  copyFileSync(join(next, 'ca.key'), join(tls, 'ca.key'))
  const more = cluster.load({ prefix: 'kill', writersPerUrl: 1, urls: [cluster.gateways[0] ?? ''] })
  await kill(other)
  t.equal(await start(cluster.place, other), 'ready')
  await cluster.add('node3')
  await more.stop()
  await cluster.verify(t, more)

  const foreign = join(cluster.place.directory, 'foreign')
  command('tls', 'init', '--dir', foreign, '--nodes', other.id)
  await stop(other)
  const config = JSON.parse(readFileSync(other.configFile, 'utf8'))
  const file = (name: string) => join(foreign, name)
  const [cert, key] = [file(`${other.id}.pem`), file(`${other.id}.key`)]
  const wrong = { ...config, peer_tls: { ca: file('ca.pem'), cert, key } }
  writeFileSync(other.configFile, JSON.stringify(wrong))
  await startAgent(other)
  await until('it is refused', () => /of no CA that is known here/.test(logOf(other)))
  await until('it answers', async () => (await agentStatus(other)) !== null)
  t.equal((await cluster.gateway(leader).write({ still: 'writing' })).status, 200)
  t.equal(await cluster.agent(other).read('still'), '', 'and it is given nothing')
})

t.test('a secret: writes, kill -9, a node that joins', async t => {
  const cluster = await startCluster(t, { peers: 'secret' })
  const load = cluster.load({ prefix: 'secret', writersPerUrl: 1 })
  await cluster.grows(load, 30)
  const leader = await cluster.leader()
  await kill(leader)
  await cluster.grows(load, 30)
  t.equal(await start(cluster.place, leader), 'ready')
  await cluster.add('node3')
  await load.stop()
  await cluster.verify(t, load)
  await allLinked(cluster)
})

t.test(
  'without either an agent that others could reach does not start, and says what helps',
  async t => {
    const directory = temporaryDirectory(t)
    const file = join(directory, 'agent.json')
    const nodes = [{ id: 'a', address: '127.0.0.1:1', raft_bind: '0.0.0.0:0' }]
    for (const address of ['0.0.0.0:0', ':0', '10.0.0.1:0']) {
      const settings = { nodes: [{ ...nodes[0], raft_bind: '10.0.0.1:1' }], transport: { address } }
      writeFileSync(file, JSON.stringify(settings))
      const { status, stderr } = command('agent', '--config', file)
      t.equal(status, 2)
      t.match(stderr, /transport\.address is .*peer_tls.*peer_secret_file/, address)
    }
  },
)
