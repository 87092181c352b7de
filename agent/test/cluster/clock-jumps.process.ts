/**
 * Lifetimes and locks while the wall clocks of the agents jump. Needs libfaketime (Debian: faketime).
 * Run by itself: `npx tsx agent/test/cluster/clock-jumps.process.ts`.
 */

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { agentStatus, startAgent } from '../../../scripts/lib/agent-server.ts'
import type { NodePlace } from '../../../scripts/lib/layout.ts'
import { stop } from '../../../scripts/lib/operations.ts'
import type { Answer } from './client.ts'
import { startCluster, type TestCluster, temporaryDirectory, until } from './harness.ts'

t.setTimeout(240_000)

const HOUR_S = 3_600
const TTL_S = 5

/** Null where it is not installed. */
function library(): string | null {
  for (const folder of readdirSync('/usr/lib')) {
    const file = join('/usr/lib', folder, 'faketime/libfaketimeMT.so.1')
    if (existsSync(file)) return file
  }
  return null
}

const LIBRARY = library()
const skip = LIBRARY === null ? 'not run: libfaketime is missing' : false

/** A cluster whose agents have wall clocks of their own; the monotonic ones are the machine's, as they are where a clock is set. */
class Clocks {
  readonly cluster: TestCluster
  readonly #directory: string

  private constructor(cluster: TestCluster, directory: string) {
    this.cluster = cluster
    this.#directory = directory
  }

  static async start(t: Test): Promise<Clocks> {
    const cluster = await startCluster(t, { nginx: false })
    const clocks = new Clocks(cluster, temporaryDirectory(t))
    for (const node of cluster.nodes) {
      clocks.set(node, 0)
      await stop(node)
      await startAgent(node, {
        LD_PRELOAD: LIBRARY ?? '',
        FAKETIME_TIMESTAMP_FILE: clocks.#file(node),
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      })
      await until('it is ready again', async () => (await agentStatus(node))?.ready === true)
    }
    await cluster.leader()
    return clocks
  }

  /** From now on this node's wall clock is so far from the machine's. */
  set(node: NodePlace, offsetS: number): void {
    writeFileSync(this.#file(node), `${offsetS < 0 ? '' : '+'}${offsetS}\n`)
  }

  put(node: NodePlace, path: string, body = ''): Promise<Answer> {
    return this.cluster.agent(node).ask({ method: 'PUT', path, body })
  }

  #file({ id }: NodePlace): string {
    return join(this.#directory, id)
  }
}

/** What the agent itself takes for the time, ms since 1970. */
async function wallMs(cluster: TestCluster, node: NodePlace): Promise<number> {
  const { headers } = await cluster.agent(node).get('/livez')
  return Date.parse(String(headers.date))
}

t.test('a lifetime lasts as long as was asked for, whatever the clocks do', { skip }, async t => {
  const clocks = await Clocks.start(t)
  const { cluster } = clocks
  const leader = await cluster.leader()
  const [other] = cluster.others(leader)
  if (other === undefined) throw new Error('no follower')
  const term = (await agentStatus(leader))?.term
  for (const [what, jump, at] of [
    ["the leader's clock goes an hour ahead", HOUR_S, leader],
    ['and two hours back', -HOUR_S, leader],
    ["a follower's clock goes a day ahead", 24 * HOUR_S, other],
  ] as const) {
    const key = what.replace(/[^a-z]/g, '')
    const begun = performance.now()
    t.equal(
      (await clocks.put(leader, `/v1/kv/${key}?ttl=${TTL_S}s`, 'v')).body.trim(),
      'true',
      what,
    )
    clocks.set(at, jump)
    await until('its clock has jumped', async () => {
      const offsetS = ((await wallMs(cluster, at)) - Date.now()) / 1000
      return Math.abs(offsetS - jump) < 60
    })
    await until(
      'it has ended',
      async () => (await cluster.agent(leader).get(`/v1/kv/${key}`)).status === 404,
    )
    const lastedMs = performance.now() - begun
    t.ok(lastedMs >= TTL_S * 1000, `${Math.round(lastedMs)} ms of ${TTL_S * 1000}`)
  }
  t.equal((await agentStatus(leader))?.term, term, 'no election')
})

t.test('a lock stays with its holder through jumps and another leader', { skip }, async t => {
  const clocks = await Clocks.start(t)
  const { cluster } = clocks
  const leader = await cluster.leader()
  const session = async (): Promise<string> => {
    const body = JSON.stringify({ TTL: '10s', LockDelay: '0s' })
    const answer = await clocks.put(leader, '/v1/session/create', body)
    return (JSON.parse(answer.body) as { ID: string }).ID
  }
  const [holder, rival] = [await session(), await session()]
  const acquire = (at: NodePlace, who: string) => clocks.put(at, `/v1/kv/lock?acquire=${who}`, who)
  const renew = (at: NodePlace, who: string) => clocks.put(at, `/v1/session/renew/${who}`)
  const fence = async (at: NodePlace): Promise<number> => {
    const { body } = await cluster.agent(at).get('/v1/kv/lock')
    return (JSON.parse(body) as { ModifyIndex: number }[])[0]?.ModifyIndex ?? 0
  }
  const first = await acquire(leader, holder)
  t.equal(first.body.trim(), 'true')
  const token = await fence(leader)
  for (const [at, node] of cluster.nodes.entries()) clocks.set(node, (at - 1) * 24 * HOUR_S)
  t.equal((await renew(leader, holder)).status, 200)
  t.equal((await acquire(leader, rival)).body.trim(), 'false', 'it is held')

  const [next] = cluster.others(leader)
  if (next === undefined) throw new Error('no follower')
  const body = JSON.stringify({ id: next.id })
  const moved = await cluster
    .agent(leader)
    .ask({ method: 'POST', path: '/v1/cluster/leader', body })
  t.equal(moved.status, 200, moved.body)
  t.equal((await cluster.leader()).id, next.id, 'one whose clock is a day away')
  t.equal((await renew(next, holder)).status, 200)
  t.equal((await renew(next, rival)).status, 200)
  t.equal((await acquire(next, rival)).body.trim(), 'false', 'it is held still')
  t.equal(await fence(next), token, 'nobody has touched it')

  const renewed = performance.now()
  t.equal((await renew(next, holder)).status, 200)
  await until('the holder stays away, and the rival gets it', async () => {
    if ((await renew(next, rival)).status !== 200) throw new Error('the rival has ended')
    return (await acquire(next, rival)).body.trim() === 'true'
  })
  t.ok(performance.now() - renewed >= 10_000, 'not before its time')
  t.ok((await fence(next)) > token, 'the fencing token grows')
})
