/** Members come and go under load. Run by itself: `npx tsx agent/test/cluster/membership.process.ts`. */

import t, { type Test } from 'tap'
import { agentStatus, startAgent } from '../../../scripts/lib/agent-server.ts'
import { gatewayUrl, type NodePlace } from '../../../scripts/lib/layout.ts'
import { kill, start, up, wipe } from '../../../scripts/lib/operations.ts'
import { startCluster, type TestCluster, until } from './harness.ts'
import { type Load, statusesText } from './load.ts'

t.setTimeout(600_000)

t.test('a node joins and votes; a follower leaves; the leader leaves', async t => {
  const cluster = await startCluster(t)
  const load = cluster.load({ prefix: 'change', writersPerUrl: 4 })
  await cluster.grows(load, 100)
  const node3 = await cluster.add('node3')
  t.strictSame(await cluster.roles(node3), roles('node0', 'node1', 'node2', 'node3'))
  const fourth = cluster.load({ urls: [gatewayUrl(node3)], prefix: 'fourth', writersPerUrl: 2 })
  await cluster.grows(fourth, 50)
  await cluster.grows(load, 100)

  const follower = first(cluster.others(await cluster.leader()).filter(node => node !== node3))
  await cluster.remove(follower)
  await until('the new node knows', async () => !(follower.id in (await cluster.roles(node3))))
  await cluster.grows(fourth, 50)

  const leader = await cluster.leader()
  const removed = performance.now()
  await cluster.remove(leader)
  const next = await cluster.leader()
  t.not(next.id, leader.id)
  await until('writes go on', () => load.firstAcknowledgedAfter(removed) !== null)
  await cluster.grows(load, 50)
  await ended(t, cluster, load, fourth)

  for (const node of cluster.nodes) {
    const through = cluster.gateway(node)
    t.equal((await through.get('/v1/cluster/members')).status, 403, 'not for clients')
    const join = { method: 'POST', path: '/join', body: '{"id":"node9","addr":"a:1"}' }
    t.equal((await through.ask(join)).status, 404)
    const change = { method: 'DELETE', path: '/v1/cluster/members/node3' }
    t.equal((await through.ask(change)).status, 403)
  }
  await verified(t, cluster, load, fourth)
})

t.test(
  'a wiped node is refused and the rest goes on; removed and added again it is welcome',
  async t => {
    const cluster = await startCluster(t)
    const load = cluster.load({ prefix: 'wiped', writersPerUrl: 2 })
    await cluster.grows(load, 100)
    const node = first(cluster.others(await cluster.leader()))
    await wipe(node)
    const { refused } = await up(cluster.place)
    t.match(refused, [{ node: { id: node.id } }])
    const status = await agentStatus(node)
    t.match(
      status?.notReady,
      /refused: node\d was known with another data directory.*let it join again/,
    )
    t.equal(status?.appliedIndex, 0, 'it was given nothing')
    t.equal(status?.term, 0, 'and has neither voted nor campaigned')
    await cluster.grows(load, 50)
    await t.rejects(cluster.add(node.id), {
      message: /belongs to the cluster already.*cluster remove/,
    })

    await cluster.remove(node)
    await t.rejects(cluster.add(node.id), { message: /data of an earlier life: cluster wipe/ })
    await wipe(node)
    await cluster.grows(load, 50)
    const again = await cluster.add(node.id)
    t.strictSame(await cluster.roles(again), roles('node0', 'node1', 'node2'))
    await cluster.grows(load, 50)
    await ended(t, cluster, load)
    await verified(t, cluster, load)
  },
)

t.test('two wiped nodes of three do not found the cluster anew', async t => {
  const cluster = await startCluster(t)
  t.equal((await cluster.gateway(at(cluster, 0)).write({ precious: 'yes' })).status, 200)
  await cluster.settled()
  const wiped = cluster.nodes.slice(1)
  for (const node of wiped) await wipe(node)
  for (const node of wiped) await startAgent(node)
  await until('each is refused by the one that is left', async () => {
    const statuses = await Promise.all(wiped.map(agentStatus))
    return statuses.every(status => status?.notReady.includes('was known with another') === true)
  })
  // longer than an election takes
  const end = performance.now() + 3_000
  await until('time for an election', () => performance.now() > end)
  for (const node of cluster.nodes) {
    t.equal((await agentStatus(node))?.leader.id, '', `${node.id} knows no leader`)
    t.equal((await cluster.agent(node).write({ precious: 'no' })).status, 503)
  }
  t.equal(await cluster.agent(at(cluster, 0)).read('precious'), 'yes', 'what is left is kept')
})

t.test(
  'an edge answers reads and never votes: without a voters’ majority nothing is written',
  async t => {
    const cluster = await startCluster(t)
    const edge = await cluster.add('node3', { edge: true })
    const ghost = { method: 'POST', path: '/join', body: '{"id":"node4","addr":"127.0.0.1:9"}' }
    t.equal((await cluster.agent(edge).ask(ghost)).status, 200, 'a learner that nobody ever sees')
    const members = {
      node0: 'voter',
      node1: 'voter',
      node2: 'voter',
      node3: 'edge',
      node4: 'learner',
    }
    const load = cluster.load({ urls: [gatewayUrl(edge)], prefix: 'edge', writersPerUrl: 2 })
    await cluster.grows(load, 50)
    await until('the edge knows of it', async () => 'node4' in (await cluster.roles(edge)))
    t.strictSame(await cluster.roles(edge), members)
    const through = cluster.gateway(edge)
    for (let round = 0; round < 20; round++) {
      t.equal((await cluster.gateway(at(cluster, round)).write({ k: `${round}` })).status, 200)
      t.equal((await through.get('/key/k?consistent')).body, `{"k":"${round}"}`)
    }

    const voters = cluster.nodes.filter(node => node !== edge)
    const left = first(voters)
    await Promise.all(voters.filter(node => node !== left).map(kill))
    await until('the edge’s gateway refuses writes', async () => {
      return (await through.write({ late: 'no' })).status === 503
    })
    await load.stop()
    t.equal((await through.get('/key/k')).body, '{"k":"19"}', 'it still answers reads')
    t.equal((await through.get('/key/k?consistent')).status, 503)
    t.equal((await agentStatus(edge))?.role, 'follower')

    for (const node of voters.filter(node => node !== left)) await start(cluster.place, node)
    await until('writes go on', async () => (await through.write({ k: 'again' })).status === 200)
    const gone = { method: 'DELETE', path: '/v1/cluster/members/node4' }
    t.equal((await cluster.agent(edge).ask(gone)).status, 200)
    t.comment(statusesText(load))
    await verified(t, cluster, load)
    t.equal(await through.read('late'), '', 'what was refused never appears')
  },
)

t.test('three new nodes take the place of all three, one by one', async t => {
  const cluster = await startCluster(t)
  const loads: Load[] = []
  for (const [old, fresh] of [
    ['node0', 'node3'],
    ['node1', 'node4'],
    ['node2', 'node5'],
  ] as const) {
    const load = cluster.load({ prefix: `rolling-${fresh}`, writersPerUrl: 2 })
    loads.push(load)
    await cluster.grows(load, 50)
    const node = await cluster.add(fresh)
    const replaced = cluster.nodes.find(each => each.id === old)
    if (replaced === undefined) throw new Error(`there is no ${old}`)
    await cluster.remove(replaced)
    t.equal((await cluster.gateway(node).write({ [fresh]: 'here' })).status, 200)
    await cluster.grows(load, 50)
    await load.stop()
  }
  t.strictSame(await cluster.roles(await cluster.leader()), roles('node3', 'node4', 'node5'))
  await ended(t, cluster, ...loads)
  await verified(t, cluster, ...loads)
})

t.test(
  'two voters leave at once, through joint consensus, though one of them may lead',
  async t => {
    const cluster = await startCluster(t)
    await cluster.add('node3')
    const node4 = await cluster.add('node4')
    const stay = ['node2', 'node3', 'node4']
    const load = cluster.load({ urls: [gatewayUrl(node4)], prefix: 'joint', writersPerUrl: 4 })
    await cluster.grows(load, 50)
    const put = {
      method: 'PUT',
      path: '/v1/cluster/voters',
      body: JSON.stringify({ voters: stay }),
    }
    await until('the change is accepted', async () => {
      return (await cluster.agent(node4).ask(put)).status === 200
    })
    await until('joint consensus is left', async () => {
      const found = await cluster.roles(node4)
      return Object.keys(found).length === 3 && Object.values(found).every(role => role === 'voter')
    })
    t.strictSame(await cluster.roles(node4), roles(...stay))
    await Promise.all(cluster.nodes.filter(({ id }) => !stay.includes(id)).map(kill))
    await cluster.grows(load, 100)
    await load.stop()
    t.comment(statusesText(load))
    for (const id of ['node0', 'node1']) {
      await cluster.remove(cluster.nodes.find(node => node.id === id) ?? node4)
    }
    await verified(t, cluster, load)
  },
)

function roles(...voters: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(voters.map(id => [id, 'voter']))
}

function first(nodes: readonly NodePlace[]): NodePlace {
  const [node] = nodes
  if (node === undefined) throw new Error('a cluster has nodes')
  return node
}

function at(cluster: TestCluster, index: number): NodePlace {
  return first(cluster.nodes.slice(index % cluster.nodes.length))
}

/** 0: the gateway of a node that has left does not answer. */
async function ended(t: Test, cluster: TestCluster, ...loads: readonly Load[]): Promise<void> {
  await Promise.all(loads.map(load => load.stop()))
  await cluster.settled()
  for (const load of loads) {
    const strange = [...load.statuses.keys()].filter(status => ![0, 200, 503, 504].includes(status))
    t.strictSame(strange, [], statusesText(load))
    t.comment(statusesText(load))
  }
}

async function verified(t: Test, cluster: TestCluster, ...loads: readonly Load[]): Promise<void> {
  for (const load of loads) await cluster.verify(t, load)
}
