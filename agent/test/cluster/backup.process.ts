/** A cluster that is lost, and comes back from a backup. Run by itself: `npx tsx agent/test/cluster/backup.process.ts`. */

import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { agentStatus } from '../../../scripts/lib/agent-server.ts'
import { agentUrl, gatewayUrl, type Place, placeOf, ROOT } from '../../../scripts/lib/layout.ts'
import { machineOf } from '../../../scripts/lib/machine-path.ts'
import { add } from '../../../scripts/lib/membership.ts'
import { down, kill, start } from '../../../scripts/lib/operations.ts'
import { restoreCluster } from '../../../scripts/lib/restoration.ts'
import { Client } from './client.ts'
import { startCluster, type TestCluster, temporaryDirectory, until } from './harness.ts'

t.setTimeout(240_000)

const PROGRAM = join(ROOT, 'agent/dist/cli/raft-nginx.js')
/** Of the newest entry in a backup to the first one behind it. */
const SKIPPED = 1_000_000_000

interface Taken {
  readonly file: string
  readonly index: number
  readonly sha256: string
  readonly cluster: string
}

interface Row {
  readonly Key: string
  readonly Value: string | null
  readonly ModifyIndex: number
}

async function backup(url: string, file: string): Promise<Taken> {
  const args = [PROGRAM, '--json', '-e', url, 'backup', '--consistent', file]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as Taken
}

function keysIn(file: string): Map<string, { value: string; index: number }> {
  const db = new Database(file, { readonly: true })
  try {
    const rows = db
      .prepare<[], { key: Buffer; value: Buffer; modify_index: number }>(
        'SELECT key, value, modify_index FROM kv ORDER BY key',
      )
      .all()
    return new Map(
      rows.map(row => [
        row.key.toString(),
        { value: row.value.toString(), index: row.modify_index },
      ]),
    )
  } finally {
    db.close()
  }
}

/** Every row with its indexes, as the API gives them. */
async function rowsOf(url: string): Promise<ReturnType<typeof keysIn>> {
  const answer = await fetch(`${url}/v1/kv/?recurse`)
  const rows = (await answer.json()) as Row[]
  return new Map(
    rows.map(({ Key, Value, ModifyIndex }) => [
      Key,
      { value: Buffer.from(Value ?? '', 'base64').toString(), index: ModifyIndex },
    ]),
  )
}

/** A backup of each node, while clients write. */
async function backUp(t: Test, cluster: TestCluster): Promise<Taken> {
  const directory = temporaryDirectory(t)
  const load = cluster.load({ prefix: 'key', writersPerUrl: 4 })
  await cluster.grows(load, 300)
  const taken: Taken[] = []
  for (const node of cluster.nodes) {
    const before = new Map(load.acknowledged)
    const one = await backup(agentUrl(node), join(directory, `${node.id}.sqlite`))
    taken.push(one)
    const keys = keysIn(one.file)
    const lost = [...before].filter(([key, value]) => keys.get(key)?.value !== value)
    t.strictSame(lost, [], `${node.id}: all ${before.size} writes answered before are in it`)
    const newest = Math.max(...[...keys.values()].map(({ index }) => index))
    t.ok(newest <= one.index, 'and nothing behind its index')
    t.equal(one.sha256, createHash('sha256').update(readFileSync(one.file)).digest('hex'))
    const files = readdirSync(node.dataDirectory).filter(name => name.startsWith('backup'))
    t.strictSame(files, [], 'nothing is left beside the data')
  }
  await cluster.grows(load, 100)
  await load.stop()
  t.strictSame([...load.statuses.keys()], [200], 'writes went on')
  t.strictSame(readdirSync(directory).length, 3, 'three files, and no WAL')
  const last = taken.at(-1)
  if (last === undefined) throw new Error('no backup')
  return last
}

/** As `cluster restore`; ended with the test. */
async function restored(t: Test, cluster: TestCluster, file: string, nodes: number) {
  const directory = temporaryDirectory(t)
  t.teardown(() => down(directory))
  const wanted = placeOf(directory, { ...cluster.place.shape, nodes })
  return restoreCluster(wanted, file)
}

t.test(
  'all is lost but a backup: a new cluster has what it held, and members of the old one are no danger',
  async t => {
    const cluster = await startCluster(t)
    const { file, index, cluster: former } = await backUp(t, cluster)
    t.equal(former, 'raft-nginx')
    for (const node of cluster.nodes) await kill(node)
    await down(cluster.place.directory)

    const expected = keysIn(file)
    let place: Place = await restored(t, cluster, file, 2)
    for (const node of place.nodes) t.strictSame(await rowsOf(gatewayUrl(node)), expected, node.id)
    const [first] = place.nodes
    const [, , oldNode] = cluster.nodes
    if (first === undefined || oldNode === undefined) throw new Error('no nodes')
    const gateway = new Client(gatewayUrl(first))
    t.teardown(() => gateway.close())

    const [key, { index: known }] = [...expected][7] ?? ['', { index: 0 }]
    const cas = (wanted: number) =>
      gateway.ask({ method: 'PUT', path: `/v1/kv/${key}?cas=${wanted}`, body: 'new' })
    t.equal((await cas(known + 1)).body.trim(), 'false')
    const answer = await cas(known)
    t.equal(answer.body.trim(), 'true', 'what clients know of it still holds')
    t.ok(Number(answer.headers['x-raft-index']) > index + SKIPPED, 'indexes only go up')
    const watch = await gateway.get(`/v1/watch?since=${index + 1}`)
    t.equal(watch.status, 410, 'who watched the former cluster is told to read anew')

    await start(cluster.place, oldNode)
    await until('the old member is refused in words', async () => {
      const links = (await agentStatus(oldNode))?.links ?? []
      return links.every(({ lastError }) => lastError?.includes('cluster') === true)
    })
    t.equal((await gateway.write({ while: 'it runs' })).status, 200)
    const seen = await agentStatus(first)
    t.strictSame(seen?.members.map(({ id }) => id).sort(), ['node0', 'node1'])
    await down(cluster.place.directory)

    place = await add(place, 'node2')
    const all = await rowsOf(gatewayUrl(first))
    for (const node of place.nodes) {
      await until('it has all', async () => {
        const rows = await rowsOf(gatewayUrl(node))
        return JSON.stringify([...rows]) === JSON.stringify([...all])
      })
    }
    await kill(first)
    const [, second] = place.nodes
    if (second === undefined) throw new Error('no second node')
    const client = new Client(gatewayUrl(second))
    t.teardown(() => client.close())
    await until('the joined ones go on alone', async () => {
      return (await client.write({ after: 'the first has died' })).status === 200
    })
  },
)

t.test('a machine in memory comes back from its image', async t => {
  const machine = machineOf(join(ROOT, 'agent/examples/2-counter'))
  const cluster = await startCluster(t, { machine, nodes: 1 })
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('no node')
  const ask = { method: 'POST', path: '/fsm/counter/increment' }
  for (let count = 1; count <= 5; count++) {
    t.equal((await cluster.gateway(node).ask(ask)).body, `${count}`)
  }
  const file = join(temporaryDirectory(t), 'counter.image')
  await backup(agentUrl(node), file)
  t.equal((await cluster.gateway(node).ask(ask)).body, '6')
  await down(cluster.place.directory)
  const place = await restored(t, cluster, file, 1)
  const [again] = place.nodes
  const client = new Client(gatewayUrl(again ?? node))
  t.teardown(() => client.close())
  t.equal((await client.ask(ask)).body, '6', 'what came behind the backup is gone')
})

t.test('a directory with data is not overwritten by cluster restore', async t => {
  const cluster = await startCluster(t, { nodes: 1, nginx: false })
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('no node')
  const file = join(temporaryDirectory(t), 'x.sqlite')
  await backup(agentUrl(node), file)
  await t.rejects(restoreCluster(cluster.place, file), /cluster down first/)
  await down(cluster.place.directory)
  await t.rejects(restoreCluster(cluster.place, file), /node0 has data.*cluster wipe node0/)
  const { configFile } = node
  const args = [PROGRAM, 'restore', '--from', file, '--config', configFile, '--cluster-name', 'new']
  const ran = spawnSync(process.execPath, args, { encoding: 'utf8' })
  t.equal(ran.status, 1)
  t.match(ran.stderr, /holds a node's data already/)
})
