/**
 * The client routes through every gateway, in both write modes, while nothing happens and while the leader changes.
 * Run by itself: `npx tsx agent/test/cluster/client-routes.process.ts`.
 */

import t, { type Test } from 'tap'
import { agentStatus } from '../../../scripts/lib/agent-server.ts'
import type { NodePlace, Shape } from '../../../scripts/lib/layout.ts'
import * as operations from '../../../scripts/lib/operations.ts'
import { type Api, type ClientCase, Interrupted } from '../http/client-cases/api.ts'
import { CLIENT_CASES } from '../http/client-cases/index.ts'
import { startCluster, type TestCluster, until } from './harness.ts'
import { type Tally, UserClient } from './user-client.ts'

t.setTimeout(240_000)

/** Of leadership; the leader is killed in the middle of them. */
const CHANGES = 16
/** Through all gateways, between one change and the next. */
const CASES_BETWEEN = 6
const WRITE_MODES: readonly Shape['writeMode'][] = ['proxy', 'redirect']

let runs = 0

for (const writeMode of WRITE_MODES) {
  t.test(`write mode ${writeMode}`, async t => {
    const cluster = await startCluster(t, { writeMode })
    const quiet: Tally = { redirects: 0, redirectsMost: 0, repeated: 0, interrupted: 0 }
    for (const node of cluster.nodes) {
      for (const { name, run } of CLIENT_CASES) {
        await t.resolves(withClient(node, quiet, false, run), `${node.id}: ${name}`)
      }
    }
    t.equal(quiet.redirects > 0, writeMode === 'redirect', `${quiet.redirects} redirects`)
    await whileTheLeaderChanges(t, cluster)
  })
}

async function whileTheLeaderChanges(t: Test, cluster: TestCluster): Promise<void> {
  const tally: Tally = { redirects: 0, redirectsMost: 0, repeated: 0, interrupted: 0 }
  const passed = new Set<string>()
  const failures: string[] = []
  let done = 0
  let over = false
  const once = async (node: NodePlace, { name, run }: ClientCase): Promise<void> => {
    const title = `${node.id}: ${name}`
    try {
      await untilDecided(tally, () => withClient(node, tally, true, run))
      passed.add(title)
    } catch (error) {
      failures.push(`${title}: ${error instanceof Error ? error.stack : error}`)
    }
    done++
  }
  const passes = cluster.nodes.map(async node => {
    do for (const each of CLIENT_CASES) await once(node, each)
    while (!over)
  })
  const before = (await agentStatus(await cluster.leader()))?.term ?? 0
  for (let change = 0; change < CHANGES; change++) {
    const goal = done + CASES_BETWEEN
    const leader = await cluster.leader()
    if (change === CHANGES / 2) {
      await operations.kill(leader)
      await operations.start(cluster.place, leader)
    } else {
      const to = cluster.others(leader)[change % 2] as NodePlace
      const body = JSON.stringify({ id: to.id })
      await cluster.agent(leader).ask({ method: 'POST', path: '/v1/cluster/leader', body })
    }
    await until('the cases go on', () => done >= goal)
  }
  const after = (await agentStatus(await cluster.leader()))?.term ?? 0
  over = true
  await Promise.all(passes)
  t.strictSame(failures, [], `${done} cases while the leader changed`)
  t.equal(
    passed.size,
    CLIENT_CASES.length * cluster.nodes.length,
    'each case passed at each gateway',
  )
  t.ok(after - before >= CHANGES, `${after - before} terms have passed`)
  t.comment(
    `${done} cases; ${tally.repeated} requests repeated, ${tally.redirects} redirects, at most ${tally.redirectsMost} of one, ${tally.interrupted} cases begun anew`,
  )
}

/** A case of which nobody knows what became of it is begun anew, below another prefix. */
async function untilDecided(tally: Tally, run: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error
      tally.interrupted++
    }
  }
}

/** @param patient repeats what certainly did not happen; else every answer counts */
async function withClient(
  node: NodePlace,
  tally: Tally,
  patient: boolean,
  run: (api: Api) => Promise<void>,
): Promise<void> {
  const client = new UserClient(node, tally, patient)
  try {
    await run({
      prefix: `run${++runs}/`,
      steady: !patient,
      ask: (line, asking) => client.ask(line, asking),
      watch: (parameters, headers) => client.watch(parameters, headers),
      until,
    })
  } finally {
    client.close()
  }
}
