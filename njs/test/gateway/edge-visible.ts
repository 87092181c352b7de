/** When a write shows in nginx's memory: at the gateway that took it, at the others, and after all agents are dead. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { end, startEdgeCluster } from './edge-cluster.ts'
import { until } from './fleet.ts'
import { fieldOf, type KeptAnswer, KeptConnection } from './kept-connection.ts'

/** @param writes one after the other, on a machine that has nothing else to do */
export function edgeVisible(t: Test, writes: number): void {
  t.test('a write is in the next read at its gateway, and soon at the others', async t => {
    const { nodes, post } = await startEdgeCluster(t)
    const readers = nodes.map(({ port }) => readerOf(t, port))
    const unseen: string[] = []
    const delays: number[] = []
    for (let turn = 0; turn < writes; turn++) {
      const taker = turn % nodes.length
      const wanted = `{"seen":"${turn}"}`
      const written = await post({ seen: String(turn) }, taker)
      const answered = performance.now()
      if (written.status !== 200) throw new Error(`a write was refused: ${written.text}`)
      const own = await readers[taker]?.('/key/seen?stale')
      if (own?.body !== wanted) unseen.push(`${wanted}: ${own?.head}${own?.body}`)
      const others = readers.map(read => shows(read, wanted))
      const seen = (await Promise.all(others)).filter((_, at) => at !== taker)
      delays.push(...seen.map(time => time - answered))
    }
    t.strictSame(unseen, [], 'at its own gateway, each')
    const [half, most] = [0.5, 0.99].map(share => quantile(delays, share).toFixed(1))
    t.comment(`${writes} writes: in the memory of other gateways after ${half} ms, p99 ${most} ms`)

    for (const { agent } of nodes) await end(agent)
    const dead = Date.now()
    for (const read of readers) await goesOn(t, read, dead)
    for (const read of readers) await endsAtBound(t, read)
  })
}

function readerOf(t: Test, port: number): Read {
  const connection = new KeptConnection(port)
  t.teardown(() => connection.close())
  return target => connection.get(target)
}

type Read = (target: string) => Promise<KeptAnswer | null>

/** @returns when the answer out of the memory was this one */
async function shows(read: Read, wanted: string): Promise<number> {
  const patience = Date.now() + 40_000
  for (;;) {
    const answer = await read('/key/seen?stale')
    if (servedBy(answer) === 'nginx' && answer?.body === wanted) return performance.now()
    if (Date.now() > patience) throw new Error(`never in nginx: ${wanted}`)
    await sleep(1)
  }
}

function servedBy(answer: KeptAnswer | null): string | undefined {
  return fieldOf(answer?.head ?? '', 'X-Raft-Served-By')
}

/** No agent lives since `dead`: reads go on, and say how old they are. */
async function goesOn(t: Test, read: Read, dead: number): Promise<void> {
  const aloneMs = Date.now() - dead
  const answer = await read('/key/seen?stale')
  t.equal(servedBy(answer), 'nginx')
  const ageMs = Number(fieldOf(answer?.head ?? '', 'X-Raft-Staleness-Ms'))
  t.ok(ageMs >= aloneMs, `${ageMs} ms old, and no agent has lived for ${aloneMs} ms`)
  t.equal((await read('/key/seen?max_stale=900s'))?.body, answer?.body)
}

/** Beyond the bound that was asked for, only an agent could tell. */
async function endsAtBound(t: Test, read: Read): Promise<void> {
  const bounded = () => read('/key/seen?max_stale=300ms')
  await until('it is older than what is asked for', async () => (await bounded())?.status === 503)
  t.match(JSON.parse((await bounded())?.body ?? ''), { code: 'AGENT_DOWN' })
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
