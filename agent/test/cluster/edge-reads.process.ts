/**
 * Reads that nginx answers out of its own memory, in clusters as `scripts/cluster` makes them. Run by itself:
 * `npx tsx agent/test/cluster/edge-reads.process.ts`; NGINX_PROGRAM names another nginx than the machine's own.
 */

import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { hasMemory } from '../../../scripts/lib/gateway-server.ts'
import { agentUrl, gatewayUrl, type NodePlace } from '../../../scripts/lib/layout.ts'
import { nginxOf, SUITES } from '../../../scripts/lib/matrix.ts'
import { add } from '../../../scripts/lib/membership.ts'
import { killGateway, reloadGateway, startNginx } from '../../../scripts/lib/operations.ts'
import { startCluster, until } from './harness.ts'

t.setTimeout(300_000)

/** Null also where there is no answer: a kept connection may end with its nginx just when it is used. */
async function servedBy(node: NodePlace, target: string): Promise<string | null> {
  const answer = await fetch(gatewayUrl(node) + target).catch(() => null)
  if (answer === null) return null
  await answer.text()
  return answer.headers.get('x-raft-served-by')
}

async function edgeOf(node: NodePlace): Promise<{ readonly state: string } | null> {
  const answer = await fetch(`${agentUrl(node)}/status`)
  const { edge } = (await answer.json()) as { edge: { state: string } | null }
  return edge
}

t.test('the machine’s nginx: edge reads where it can, else all goes to the agent', async t => {
  const cluster = await startCluster(t)
  const [first] = cluster.nodes
  if (first === undefined) throw new Error('there is a first node')
  t.equal((await cluster.gateway(first).write({ a: '1' })).status, 200)
  const wanted = hasMemory() ? 'nginx' : 'agent'
  for (const node of cluster.nodes) {
    await until(`${node.id} answers`, async () => (await servedBy(node, '/key/a?stale')) === wanted)
  }
  if (!hasMemory()) t.equal(await edgeOf(first), null)
})

t.test('where nginx can, a cluster’s edge reads are on, and outlive its nginx', async t => {
  const { NGINX_PROGRAM: given = null } = process.env
  const able = [given, ...SUITES.map(nginxOf)].find(one => one !== null)
  if (able === undefined) {
    t.comment('no nginx with js_shared_dict_zone here: scripts/test --matrix makes some')
    return
  }
  Object.assign(process.env, { NGINX_PROGRAM: able })
  const cluster = await startCluster(t)
  const [first, second] = cluster.nodes
  if (first === undefined || second === undefined) throw new Error('there are three nodes')
  t.equal((await cluster.gateway(first).write({ a: '1' })).status, 200)
  const inNginx = (node: NodePlace) =>
    until(`${node.id} has it`, async () => (await servedBy(node, '/key/a?stale')) === 'nginx')
  for (const node of cluster.nodes) await inNginx(node)
  t.match(await edgeOf(first), { state: 'following' })
  t.equal(statSync(dirname(first.edgeSocket)).mode & 0o7, 0, 'closed to others')
  await killGateway(second)
  await startNginx(cluster.place, second)
  await inNginx(second)
  await reloadGateway(cluster.place, second)
  await inNginx(second)
  cluster.place = await add(cluster.place, 'node3')
  const fourth = cluster.nodes.at(-1)
  if (fourth === undefined) throw new Error('there is a fourth node')
  await inNginx(fourth)
})
