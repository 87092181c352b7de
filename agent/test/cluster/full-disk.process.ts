/**
 * Disks that are nearly full, on file systems of their own; needs mounts. Run by itself:
 * `npx tsx agent/test/cluster/full-disk.process.ts`.
 */

import { mkdirSync, rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { agentPid } from '../../../scripts/lib/agent-server.ts'
import { DEFAULT_SHAPE, type NodePlace, nodePlace } from '../../../scripts/lib/layout.ts'
import { inside, isInside } from '../../../scripts/net/inside.ts'
import { run } from '../../../scripts/net/tools.ts'
import { startCluster, temporaryDirectory, until } from './harness.ts'

/** A part of it, 6.4 MiB, is the reserve. */
const DISK = '128m'
const LEFT_BYTES = 5 * 1024 * 1024

t.setTimeout(180_000)

if (isInside()) tests()
else await outside()

/** In a mount namespace of its own: whatever becomes of this process, no mount is left. */
async function outside(): Promise<void> {
  const why = await run('unshare', ['--mount', 'true']).then(
    () => null,
    error => String(error),
  )
  if (why !== null) {
    t.pass('not run', { skip: why })
    return
  }
  const command = [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)]
  process.exitCode = await inside('mounts', command)
}

function tests(): void {
  t.test('a leader whose disk is nearly full hands over; nobody ends', async t => {
    const cluster = await clusterOnDisks(t)
    const load = cluster.load({ prefix: 'one', writersPerUrl: 1 })
    await cluster.grows(load, 100)
    const pids = cluster.nodes.map(agentPid)
    const leader = await cluster.leader()
    await fill(leader)
    await until('another leads', async () => (await cluster.leader()).id !== leader.id)
    await cluster.grows(load, 200)
    t.not((await cluster.leader()).id, leader.id, 'and goes on to lead')
    await load.stop()
    await cluster.verify(t, load)
    t.strictSame(cluster.nodes.map(agentPid), pids)
  })

  t.test('where all disks are, writes are refused, reads go on, and it ends by itself', async t => {
    const cluster = await clusterOnDisks(t)
    const client = cluster.gateway(await cluster.leader())
    t.equal((await client.write({ before: 'there' })).status, 200)
    const pids = cluster.nodes.map(agentPid)
    for (const node of cluster.nodes) await fill(node)
    const refusal = async () => {
      const { status, body } = await client.write({ meanwhile: 'perhaps' })
      return status === 503 && /"NO_SPACE"/.test(body)
    }
    await until('a write is refused', refusal)
    for (const node of cluster.nodes) {
      t.equal(await cluster.agent(node).read('before'), 'there', node.id)
      const consistent = async () =>
        (await cluster.gateway(node).get('/key/before?consistent')).status === 200
      await until('and consistently', consistent)
    }
    for (const node of cluster.nodes) rmSync(fillOf(node))
    const written = async () => (await client.write({ after: 'there' })).status === 200
    await until('there is room again', written)
    t.strictSame(cluster.nodes.map(agentPid), pids)
  })
}

async function clusterOnDisks(t: Test) {
  const directory = temporaryDirectory(t)
  for (const at of [0, 1, 2]) {
    const { dataDirectory } = nodePlace(directory, DEFAULT_SHAPE, at)
    mkdirSync(dataDirectory, { recursive: true })
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', dataDirectory])
    t.teardown(() => run('umount', [dataDirectory]))
  }
  return startCluster(t, {}, {}, directory)
}

async function fill(node: NodePlace): Promise<void> {
  const { bavail, bsize } = await statfs(node.dataDirectory)
  await run('fallocate', ['-l', `${bavail * bsize - LEFT_BYTES}`, fillOf(node)])
}

function fillOf({ dataDirectory }: NodePlace): string {
  return join(dataDirectory, 'fill')
}
