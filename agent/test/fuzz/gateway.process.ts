/** Bytes that nobody meant, through a real nginx. Run by itself: `npx tsx agent/test/fuzz/gateway.process.ts`. */

import { readFileSync } from 'node:fs'
import t from 'tap'
import { agentPid, agentStatus } from '../../../scripts/lib/agent-server.ts'
import { gatewayErrorLog, gatewayPid } from '../../../scripts/lib/gateway-server.ts'
import { startCluster } from '../cluster/harness.ts'
import { fuzz } from './campaign.ts'
import { answersPlainly, HTTP_SEEDS, takeHttp } from './http-target.ts'

const CASES = 3_000
/** Most of them wait until patience ends. */
const WIDTH = 100
const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)
t.setTimeout(120_000)

for (const writeMode of ['proxy', 'redirect'] as const) {
  t.test(`${CASES} cases in write mode ${writeMode}`, async t => {
    const cluster = await startCluster(t, { nodes: 1, writeMode })
    const [node] = cluster.nodes
    if (node === undefined) throw new Error('a cluster has nodes')
    const where = { host: node.host, port: node.gatewayPort, endsRequests: false }
    const before = await agentStatus(node)
    const pids = [agentPid(node), gatewayPid(node)]
    const target = {
      name: `gateway, ${writeMode}`,
      seeds: HTTP_SEEDS,
      width: WIDTH,
      take: (bytes: Uint8Array) => takeHttp(where, bytes),
      check: () => answersPlainly(where),
    }
    await t.resolves(fuzz({ target, cases: CASES, seed }))
    t.strictSame([agentPid(node), gatewayPid(node)], pids, 'both run as before')
    const log = readFileSync(gatewayErrorLog(node), 'utf8')
    t.notMatch(log, /exited on signal/, 'no worker has crashed')
    t.equal((await agentStatus(node))?.term, before?.term, 'no election')
  })
}
