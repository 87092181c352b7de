/** A machine that answers otherwise, on real agents. Run by itself: `npx tsx agent/test/cluster/divergence.process.ts`. */

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { agentStatus, writeAgentConfig } from '../../../scripts/lib/agent-server.ts'
import { type NodePlace, ROOT } from '../../../scripts/lib/layout.ts'
import { machineOf } from '../../../scripts/lib/machine-path.ts'
import { start, stop } from '../../../scripts/lib/operations.ts'
import { startCluster, type TestCluster, temporaryDirectory, until } from './harness.ts'

t.setTimeout(120_000)

const COUNTER = machineOf(join(ROOT, 'agent/examples/2-counter'))
const SETTINGS = { check_interval_sec: 1 }

t.test(
  'a node whose machine answers otherwise takes itself out; restarted, it is mended',
  async t => {
    const odd = join(temporaryDirectory(t), 'odd.mjs')
    writeFileSync(
      odd,
      `import { createMachine as real } from ${JSON.stringify(pathToFileURL(COUNTER).href)}
export function createMachine() {
  const machine = real()
  const apply = (command, context) => Buffer.from(Buffer.from(machine.apply(command, context)) + '0')
  return { ...machine, apply }
}
`,
    )
    const cluster = await startCluster(t, { machine: COUNTER }, SETTINGS)
    const leader = await cluster.leader()
    const [node = leader] = cluster.others(leader)
    await counted(cluster, leader, 5)
    await until('all agree', async () => {
      const all = await Promise.all(cluster.nodes.map(each => checkOf(cluster, each)))
      return all.every(verdict => verdict === 'agreed')
    })

    await stop(node)
    writeAgentConfig(cluster.place, node, { ...SETTINGS, machine: odd })
    await start(cluster.place, node)
    await counted(cluster, leader, 5)
    await until('it is in quarantine', async () => (await quarantineOf(cluster, node)) !== null)
    t.match(await quarantineOf(cluster, node), /^in quarantine: at entry \d+/)
    t.ok(existsSync(join(node.dataDirectory, 'quarantine.json')))
    const read = await cluster.agent(node).get('/fsm/counter/')
    t.equal(read.status, 503)
    t.match(read.body, /"code":"NOT_SERVING".*in quarantine/)
    t.equal((await cluster.agent(node).get('/readyz')).status, 503)
    t.equal(
      (await cluster.gateway(node).get('/fsm/counter/')).status,
      503,
      'nor through its gateway',
    )
    const backup = await cluster.agent(node).get('/v1/cluster/backup')
    t.equal(backup.status, 503, 'nor as a backup')
    await counted(cluster, leader, 5)
    for (const other of cluster.others(node)) {
      t.equal(await quarantineOf(cluster, other), null, `${other.id} goes on`)
      t.equal((await cluster.agent(other).get('/fsm/counter/')).status, 200)
    }
    t.equal(await countOf(cluster, leader), '15')

    await stop(node)
    writeAgentConfig(cluster.place, node, SETTINGS)
    t.equal(await start(cluster.place, node), 'ready')
    t.match(readdirSync(join(node.dataDirectory, 'damaged')), [/-machine-differs$/])
    t.notOk(existsSync(join(node.dataDirectory, 'quarantine.json')))
    await counted(cluster, leader, 5)
    await until('it agrees again', async () => (await checkOf(cluster, node)) === 'agreed')
    await cluster.settled()
    t.equal(await countOf(cluster, node), '20')
  },
)

async function counted(cluster: TestCluster, node: NodePlace, times: number): Promise<void> {
  const increment = { method: 'POST', path: '/fsm/counter/increment' }
  for (let done = 0; done < times; ) {
    if ((await cluster.gateway(node).ask(increment)).status === 200) done++
  }
}

async function countOf(cluster: TestCluster, node: NodePlace): Promise<string> {
  return (await cluster.agent(node).get('/fsm/counter/')).body
}

interface Shown {
  readonly quarantine: string | null
  readonly check: { readonly verdict: string } | null
}

async function shown(cluster: TestCluster, node: NodePlace): Promise<Shown | null> {
  if ((await agentStatus(node)) === null) return null
  return JSON.parse((await cluster.agent(node).get('/status')).body) as Shown
}

async function quarantineOf(cluster: TestCluster, node: NodePlace): Promise<string | null> {
  return (await shown(cluster, node))?.quarantine ?? null
}

async function checkOf(cluster: TestCluster, node: NodePlace): Promise<string | undefined> {
  return (await shown(cluster, node))?.check?.verdict
}
