/** A disk whose bytes have changed, on real agents. Run by itself: `npx tsx agent/test/cluster/repair.process.ts`. */

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  agentPid,
  agentStatus,
  startAgent,
  writeAgentConfig,
} from '../../../scripts/lib/agent-server.ts'
import { gatewayUrl, type NodePlace } from '../../../scripts/lib/layout.ts'
import { kill, start, stop, up } from '../../../scripts/lib/operations.ts'
import { Prng } from '../../src/lib/prng.ts'
import { startCluster, type TestCluster, until } from './harness.ts'
import { type Load, statusesText } from './load.ts'

t.setTimeout(600_000)

const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
const random = new Prng(seed)
t.comment(`SEED=${seed}`)

const inData = (node: NodePlace, ...names: string[]) => join(node.dataDirectory, ...names)

/** Changes one byte somewhere in the file between `from` and `to`; returns where. */
function flip(file: string, from: number, to: number): string {
  const bytes = readFileSync(file)
  const at = random.between(from, to)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.between(0, 8))
  writeFileSync(file, bytes)
  return `${file} at ${at}`
}

/** In the middle of what was written to the newest segment, behind which much more stands. */
function damageLog(node: NodePlace): string {
  const directory = inData(node, 'log')
  const segment =
    readdirSync(directory)
      .filter(name => name.endsWith('.log'))
      .sort()
      .at(-1) ?? ''
  const bytes = readFileSync(join(directory, segment))
  const used = bytes.findLastIndex(byte => byte !== 0)
  return flip(join(directory, segment), 2_000, Math.floor(used * 0.8))
}

/** Anywhere: each page has a checksum. */
function damageMachine(node: NodePlace): string {
  const file = inData(node, 'kv.sqlite')
  return flip(file, 0, statSync(file).size)
}

/** Some of the values that stand there. @returns how many */
function damageValues(node: NodePlace): number {
  const file = inData(node, 'kv.sqlite')
  const bytes = readFileSync(file)
  let found = 0
  for (let at = bytes.indexOf('value of'); at !== -1; at = bytes.indexOf('value of', at + 1)) {
    bytes[at] = 'V'.charCodeAt(0)
    found++
  }
  writeFileSync(file, bytes, { flag: 'r+' })
  return found
}

const damagedOf = (node: NodePlace): string[] => {
  try {
    return readdirSync(inData(node, 'damaged')).sort()
  } catch {
    return []
  }
}

const identityOf = (node: NodePlace): { incarnation: string } =>
  JSON.parse(readFileSync(inData(node, 'identity.json'), 'utf8'))

const logOf = (node: NodePlace): string => readFileSync(node.agentLog, 'utf8')

/** All nodes are at one entry, and have come to the same there. */
async function level(cluster: TestCluster): Promise<void> {
  await until('equal chain hashes on all nodes', async () => {
    const answers = await Promise.all(cluster.nodes.map(node => cluster.agent(node).get('/status')))
    const chains = answers.map(({ body }) => {
      return JSON.parse(body) as { chain: { index: number; hash: string }; ready: boolean }
    })
    const [first] = chains
    return chains.every(
      ({ chain, ready }) =>
        ready && chain.index === first?.chain.index && chain.hash === first?.chain.hash,
    )
  })
}

async function ended(t: Test, cluster: TestCluster, load: Load): Promise<void> {
  await load.stop()
  t.comment(statusesText(load))
  await cluster.verify(t, load)
  await level(cluster)
}

const SHORT_LOGS = {
  snapshot: { snapshot_interval_sec: 1, snapshot_threshold: 50 },
  log: { trailing_logs: 20 },
  check_interval_sec: 1,
}

async function firstIndex(cluster: TestCluster, node: NodePlace): Promise<number> {
  const { body } = await cluster.agent(node).get('/metrics')
  return Number(/^raft_nginx_first_log_index (\d+)$/m.exec(body)?.[1] ?? 0)
}

const CASES = [
  { what: 'the log', damage: damageLog, why: /-log-damaged$/, isNew: true },
  { what: 'the machine', damage: damageMachine, why: /-machine-damaged$/, isNew: false },
  {
    what: 'log and machine',
    damage: (node: NodePlace) => `${damageMachine(node)}, ${damageLog(node)}`,
    why: /-log-damaged$/,
    isNew: true,
  },
]

for (const { what, damage, why, isNew } of CASES) {
  t.test(
    `${what} of one node damaged while it is stopped: mended from the others, under load`,
    async t => {
      const cluster = await startCluster(t)
      const leader = await cluster.leader()
      const [node = leader] = cluster.others(leader)
      const urls = cluster.others(node).map(gatewayUrl)
      const load = cluster.load({ urls, prefix: 'repair', writersPerUrl: 4 })
      await cluster.grows(load, 300)
      const before = identityOf(node)
      await stop(node)
      t.comment(damage(node))
      await cluster.grows(load, 100)
      t.equal(await start(cluster.place, node), 'ready')
      await cluster.grows(load, 100)
      t.equal(
        identityOf(node).incarnation !== before.incarnation,
        isNew,
        'its promises count or not',
      )
      await until('it votes as before', async () => {
        return (await cluster.roles(leader))[node.id] === 'voter'
      })
      const [kept = ''] = damagedOf(node)
      t.equal(damagedOf(node).length, 1)
      t.match(kept, why)
      const names = readdirSync(inData(node, 'damaged', kept))
      t.ok(names.includes('kv.sqlite'), `the damaged files are kept: ${names.join(' ')}`)
      await ended(t, cluster, load)
      await stop(node)
      t.equal(await start(cluster.place, node), 'ready', 'and it starts as any other')
      t.equal(damagedOf(node).length, 1)
      await level(cluster)
    },
  )
}

t.test(
  'the logs of two of three damaged: they wait and say so, nothing is founded anew',
  async t => {
    const cluster = await startCluster(t)
    const load = cluster.load({ prefix: 'two', writersPerUrl: 2 })
    await cluster.grows(load, 200)
    await load.stop()
    await cluster.settled()
    const [last, ...damaged] = cluster.nodes
    if (last === undefined) throw new Error('three nodes')
    const before = damaged.map(identityOf)
    await Promise.all(cluster.nodes.map(stop))
    for (const node of damaged) t.comment(damageLog(node))
    const sizes = damaged.map(node => statSync(inData(node, 'kv.sqlite')).size)
    for (const node of cluster.nodes) await startAgent(node)
    for (const node of damaged) {
      await until(
        `${node.id} says that it waits`,
        () =>
          /is damaged: .*0000\d+\.log, offset/.test(logOf(node)) &&
          /not let go yet: .*(no-leader|503|does not answer)/i.test(logOf(node)),
      )
    }
    // longer than elections take
    const end = performance.now() + 3_000
    await until('time for an election', () => performance.now() > end)
    t.equal((await agentStatus(last))?.leader.id, '')
    t.equal((await cluster.agent(last).write({ precious: 'no' })).status, 503)
    const [key = '', value = ''] = [...load.acknowledged][0] ?? []
    t.equal(await cluster.agent(last).read(key), value, 'what is left is kept, and served')
    for (const [at, node] of damaged.entries()) {
      t.strictSame(damagedOf(node), [], 'nothing was moved')
      t.strictSame(identityOf(node), before[at])
      t.equal(statSync(inData(node, 'kv.sqlite')).size, sizes[at])
    }
  },
)

t.test(
  'a damaged node waits for a majority, is killed at that, and comes back all the same',
  async t => {
    const cluster = await startCluster(t)
    const load = cluster.load({ prefix: 'wait', writersPerUrl: 2 })
    await cluster.grows(load, 200)
    await load.stop()
    await cluster.settled()
    const leader = await cluster.leader()
    const [node = leader, other = leader] = cluster.others(leader)
    await stop(node)
    await stop(other)
    t.comment(damageLog(node))
    await startAgent(node)
    await until('it says that it waits', () => /not let go yet: /.test(logOf(node)))
    await kill(node)
    t.strictSame(damagedOf(node), [])
    await up(cluster.place)
    const again = cluster.load({ prefix: 'again', writersPerUrl: 2 })
    await cluster.grows(again, 100)
    await ended(t, cluster, load)
    await ended(t, cluster, again)
    t.match(damagedOf(node), [/-log-damaged$/])
  },
)

t.test(
  'killed again and again on its way back, a node with a damaged log arrives all the same',
  async t => {
    const cluster = await startCluster(t)
    const leader = await cluster.leader()
    const [node = leader] = cluster.others(leader)
    const urls = cluster.others(node).map(gatewayUrl)
    const load = cluster.load({ urls, prefix: 'killed', writersPerUrl: 2 })
    await cluster.grows(load, 200)
    const before = identityOf(node)
    await stop(node)
    t.comment(damageLog(node))
    for (let round = 0; round < 8; round++) {
      await startAgent(node)
      const ms = random.between(300, 1_800)
      await sleep(ms)
      await kill(node)
      t.comment(`killed after ${ms} ms: ${damagedOf(node).join(' ') || 'nothing moved'}`)
    }
    t.equal(await start(cluster.place, node), 'ready')
    t.not(identityOf(node).incarnation, before.incarnation)
    t.match(damagedOf(node), [/-log-damaged$/], 'once')
    await until('it votes', async () => (await cluster.roles(leader))[node.id] === 'voter')
    await ended(t, cluster, load)
  },
)

t.test('a damaged machine whose log was shortened is fetched from the leader', async t => {
  const cluster = await startCluster(t, {}, SHORT_LOGS)
  const leader = await cluster.leader()
  const [node = leader] = cluster.others(leader)
  const urls = cluster.others(node).map(gatewayUrl)
  const load = cluster.load({ prefix: 'short', writersPerUrl: 2 })
  await until('the log is shortened', async () => (await firstIndex(cluster, node)) > 100)
  await load.stop()
  const more = cluster.load({ urls, prefix: 'more', writersPerUrl: 2 })
  const before = identityOf(node)
  await stop(node)
  t.comment(damageMachine(node))
  t.equal(await start(cluster.place, node), 'ready')
  t.strictSame(identityOf(node), before)
  t.match(damagedOf(node), [/-machine-damaged$/])
  await cluster.grows(more, 50)
  await ended(t, cluster, load)
  await ended(t, cluster, more)
})

t.test(
  'the machines of two of three are fetched from the third, though no log is whole',
  async t => {
    const cluster = await startCluster(t, {}, SHORT_LOGS)
    const load = cluster.load({ prefix: 'most', writersPerUrl: 2 })
    await until('the logs are shortened', async () => {
      const firsts = await Promise.all(cluster.nodes.map(node => firstIndex(cluster, node)))
      return firsts.every(first => first > 100)
    })
    await load.stop()
    await cluster.settled()
    const [, ...damaged] = cluster.nodes
    await Promise.all(cluster.nodes.map(stop))
    for (const node of damaged) t.comment(damageMachine(node))
    await up(cluster.place)
    for (const node of damaged) t.match(damagedOf(node), [/-machine-damaged$/])
    const more = cluster.load({ prefix: 'after', writersPerUrl: 2 })
    await cluster.grows(more, 50)
    await ended(t, cluster, load)
    await ended(t, cluster, more)
  },
)

t.test(
  'values damaged under a running node: it stops when it meets one, and the next start mends it',
  async t => {
    const cluster = await startCluster(t)
    const load = cluster.load({ prefix: 'running', writersPerUrl: 2 })
    await cluster.grows(load, 300)
    await load.stop()
    await cluster.settled()
    const leader = await cluster.leader()
    const [node = leader] = cluster.others(leader)
    // Started anew it has nothing in memory of what it wrote.
    await stop(node)
    t.equal(await start(cluster.place, node), 'ready')
    t.ok(damageValues(node) > 100)
    const client = cluster.agent(node)
    const wrong: string[] = []
    for (const [key, value] of load.acknowledged) {
      const { status, body } = await client.get(`/key/${key}`)
      if (status !== 200) break
      if (body !== JSON.stringify({ [key]: value })) wrong.push(body)
    }
    t.strictSame(wrong, [], 'nothing damaged was served')
    await until('it stops', () => agentPid(node) === null)
    t.match(logOf(node), /stopped: .*kv\.sqlite is damaged/)
    t.match(readFileSync(inData(node, 'quarantine.json'), 'utf8'), /"kind":"damaged"/)
    t.equal(await start(cluster.place, node), 'ready')
    t.match(damagedOf(node), [/-machine-damaged$/])
    await ended(t, cluster, load)
  },
)

t.test('"repair": "never" refuses as it always did, and touches nothing', async t => {
  const cluster = await startCluster(t, {}, { repair: 'never' })
  t.equal((await cluster.gateway(await cluster.leader()).write({ a: '1' })).status, 200)
  await cluster.settled()
  const leader = await cluster.leader()
  const [node = leader] = cluster.others(leader)
  await stop(node)
  t.comment(damageMachine(node))
  await startAgent(node)
  await until('it refuses', () => /cannot start: .*kv\.sqlite is damaged/.test(logOf(node)))
  await until('it has ended', () => agentPid(node) === null)
  t.strictSame(damagedOf(node), [])
  writeAgentConfig(cluster.place, node, { repair: 'auto' })
  t.equal(await start(cluster.place, node), 'ready')
  t.match(damagedOf(node), [/-machine-damaged$/])
  await level(cluster)
})
