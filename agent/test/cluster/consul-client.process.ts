/**
 * Consul's own client for Node through nginx, and watches over leader changes and restarts.
 * Run by itself: `npx tsx agent/test/cluster/consul-client.process.ts`.
 */

import { setTimeout as pause } from 'node:timers/promises'
import Consul from 'consul'
import t from 'tap'
import { gatewayUrl, type NodePlace } from '../../../scripts/lib/layout.ts'
import * as operations from '../../../scripts/lib/operations.ts'
import { EventStream } from '../http/event-stream.ts'
import { startCluster, type TestCluster, until } from './harness.ts'

t.setTimeout(240_000)

function clientOf({ gatewayPort }: NodePlace): Consul {
  return new Consul({ host: '127.0.0.1', port: gatewayPort })
}

/** The client's types want an object where its code wants the list. */
const steps = (list: object[]): never => list as never

// What the server answers `false`, this client gives as undefined.
t.test('the npm client: every call through every gateway, whoever leads', async t => {
  const cluster = await startCluster(t)
  for (const node of cluster.nodes) {
    const { kv } = clientOf(node)
    const at = `${node.id}/`
    t.equal(await kv.set(`${at}a`, 'one'), true)
    t.match(await kv.get(`${at}a`), { Key: `${at}a`, Value: 'one', Flags: 0, LockIndex: 0 })
    t.equal(await kv.get(`${at}none`), undefined)
    t.equal(await kv.set({ key: `${at}b/ä +?`, value: 'two', flags: 42 }), true)
    t.match(await kv.get({ key: `${at}b/ä +?`, raw: true }), Buffer.from('two'))
    t.strictSame(await kv.keys(at), [`${at}a`, `${at}b/ä +?`])
    t.strictSame(await kv.keys({ key: at, separator: '/' }), [`${at}a`, `${at}b/`])
    const rows = (await kv.get({ key: at, recurse: true })) as { Value: string; Flags: number }[]
    t.strictSame(
      rows.map(({ Value, Flags }) => [Value, Flags]),
      [
        ['one', 0],
        ['two', 42],
      ],
    )
    const { ModifyIndex } = (await kv.get(`${at}a`)) as { ModifyIndex: number }
    t.notOk(await kv.set({ key: `${at}a`, value: 'x', cas: ModifyIndex - 1 }))
    t.equal(await kv.set({ key: `${at}a`, value: 'three', cas: ModifyIndex }), true)
    t.notOk(await kv.set({ key: `${at}a`, value: 'x', cas: 0 }))
    t.notOk(await kv.del({ key: `${at}a`, cas: ModifyIndex }))
    t.equal(await kv.del(`${at}a`), true)
    t.equal(await kv.get(`${at}a`), undefined)
    t.equal(await kv.del({ key: at, recurse: true }), true)
    t.equal(await kv.get({ key: at, recurse: true }), undefined)
    t.match(await clientOf(node).status.leader(), /^127\.0\.0\.1:\d+$/)
    t.equal((await clientOf(node).status.peers()).length, 3)
    t.match(await clientOf(node).agent.self(), { Member: { Name: node.id } })
  }
})

t.test('the npm client: transactions, all or nothing', async t => {
  const cluster = await startCluster(t)
  const [first, last] = [cluster.nodes[0], cluster.nodes[2]] as [NodePlace, NodePlace]
  const Value = Buffer.from('v').toString('base64')
  const done = await clientOf(last).transaction.create(
    steps([
      { KV: { Verb: 'set', Key: 'a', Value } },
      { KV: { Verb: 'cas', Key: 'b', Value, Index: 0 } },
      { KV: { Verb: 'get', Key: 'a' } },
    ]),
  )
  t.match(done, { Results: [{ KV: { Key: 'a' } }, { KV: { Key: 'b' } }, { KV: { Value } }] })
  const refused = clientOf(first).transaction.create(
    steps([
      { KV: { Verb: 'set', Key: 'c', Value } },
      { KV: { Verb: 'cas', Key: 'b', Value, Index: 0 } },
    ]),
  )
  t.equal(await refused.catch((error: { statusCode: number }) => error.statusCode), 409)
  t.equal(await clientOf(last).kv.get('c'), undefined)
})

t.test('the npm client: locks, and their end with the session', async t => {
  const cluster = await startCluster(t)
  const [one, two] = [cluster.nodes[0], cluster.nodes[1]] as [NodePlace, NodePlace]
  const session = async (node: NodePlace, options: object): Promise<string> =>
    (await clientOf(node).session.create(options)).ID
  const mine = await session(one, { ttl: '10s', lockdelay: '1s', name: 'mine' })
  const theirs = await session(two, { ttl: '24h' })
  t.equal(await clientOf(one).kv.set({ key: 'lock', value: 'me', acquire: mine }), true)
  t.notOk(await clientOf(two).kv.set({ key: 'lock', value: 'them', acquire: theirs }))
  t.match(await clientOf(two).session.get(mine), { ID: mine, TTL: '10s', Name: 'mine' })
  t.equal((await clientOf(two).session.list()).length, 2)
  t.equal(await clientOf(one).kv.set({ key: 'lock', value: 'me', release: mine }), true)
  t.equal(await clientOf(two).kv.set({ key: 'lock', value: 'them', acquire: theirs }), true)
  await clientOf(two).session.destroy(theirs)
  const before = (await clientOf(one).kv.get('lock')) as { ModifyIndex: number; LockIndex: number }
  // Destroyed with its lock: nobody gets that before the delay is over.
  t.notOk(await clientOf(one).kv.set({ key: 'lock', value: 'me', acquire: mine }))
  t.equal(await clientOf(one).kv.set({ key: 'other', value: 'me', acquire: mine }), true)
  const began = performance.now()
  const ended = clientOf(two).session
  await operations.stop(await cluster.leader()).then(async () => {
    for (const node of cluster.nodes) await operations.start(cluster.place, node).catch(() => {})
  })
  await pause(1_000)
  let renewed = Number.NaN
  await until('it is renewed, though the leader may change again', async () => {
    renewed = performance.now()
    const answer = await clientOf(one)
      .session.renew(mine)
      .catch(() => [])
    return answer[0]?.ID === mine
  })
  await until('the session ends', async () => (await ended.list()).length === 0)
  const ms = performance.now() - renewed
  t.ok(ms >= 9_900, `a whole lifetime after it was renewed: ${ms.toFixed(0)} ms`)
  t.comment(
    `ended ${ms.toFixed(0)} ms after its last renewal, ${(performance.now() - began).toFixed(0)} ms after the leader was stopped`,
  )
  t.notOk('Session' in ((await clientOf(one).kv.get('other')) as object), 'its lock was let go')
  const last = await session(two, { ttl: '10s' })
  const take = () => clientOf(two).kv.set({ key: 'other', value: 'them', acquire: last })
  await until('the lock is free after its delay', take)
  const { ModifyIndex } = (await clientOf(one).kv.get('other')) as { ModifyIndex: number }
  t.ok(ModifyIndex > before.ModifyIndex, 'the fencing token grows')
})

t.test('the npm client: a watch on another gateway, while the leader changes', async t => {
  const cluster = await startCluster(t)
  const [one, two] = [cluster.nodes[0], cluster.nodes[1]] as [NodePlace, NodePlace]
  const seen: string[] = []
  const { kv } = clientOf(two)
  const watch = clientOf(two).watch({ method: kv.get.bind(kv), options: { key: 'w' } })
  watch.on('change', (row: { Value: string } | undefined) => seen.push(row?.Value ?? ''))
  watch.on('error', () => {}) // it asks again by itself
  t.teardown(() => watch.end())
  await until('it begins', () => seen.length === 1)
  for (let n = 1; n <= 3; n++) {
    await until('it is written', () =>
      clientOf(one)
        .kv.set('w', `${n}`)
        .catch(() => false),
    )
    await until('it is seen', () => seen.at(-1) === `${n}`)
    if (n === 1) {
      const third = cluster.others(two).find(node => node.id !== one.id) as NodePlace
      const leader = await cluster.leader()
      await operations.kill(leader.id === two.id ? third : leader)
      for (const node of cluster.nodes) await operations.start(cluster.place, node).catch(() => {})
      await cluster.leader()
    }
  }
  t.strictSame(seen, ['', '1', '2', '3'], 'each once, though the wait was interrupted')
})

t.test(
  'watches: in order, each once, none missing; resumed over kills and at other gateways',
  async t => {
    const cluster = await startCluster(t)
    const load = cluster.load({ prefix: 'watched', writersPerUrl: 2 })
    const follower = new Follower(cluster)
    t.teardown(() => follower.stop())
    await cluster.grows(load, 200)
    for (let round = 0; round < 3; round++) {
      const leader = await cluster.leader()
      await operations.kill(leader)
      await operations.start(cluster.place, leader)
      await cluster.grows(load, 100)
      follower.move()
      await cluster.grows(load, 100)
    }
    await load.stop()
    await cluster.settled()
    const written = [...load.acknowledged.keys()]
    await until('the last was seen', () => written.every(key => follower.keys.has(key)))
    t.ok(follower.ascending, 'in the order of the log, each entry once')
    t.comment(
      `${written.length} writes, ${follower.keys.size} seen, resumed ${follower.resumed} times, ${follower.compacted} times elsewhere since it was compacted`,
    )
  },
)

t.test('X-Raft-Staleness-Ms is true of an agent that was paused, and of one alone', async t => {
  const cluster = await startCluster(t)
  await cluster.settled()
  const leader = await cluster.leader()
  const [follower] = cluster.others(leader) as [NodePlace]
  const staleness = async (node: NodePlace): Promise<number> =>
    Number((await cluster.agent(node).get('/v1/kv/k?stale')).headers['x-raft-staleness-ms'])
  await until('it is young', async () => (await staleness(follower)) < 1_000)
  operations.pause(follower)
  await pause(2_500)
  const asked = staleness(follower)
  operations.resume(follower)
  // Whatever it reads first: messages of back then, or this question.
  const first = await asked
  t.ok(first >= 2_400 || first < 1_000, `${first} ms: as old as its pause, or proven anew`)
  await until('it is young again', async () => (await staleness(follower)) < 1_000)
  for (const node of cluster.others(follower)) operations.pause(node)
  await pause(2_000)
  const alone = await staleness(follower)
  t.ok(alone >= 1_900, `alone for 2 s: ${alone} ms`)
  t.equal((await cluster.agent(follower).get('/v1/kv/k?max_stale=1s')).status, 503)
  for (const node of cluster.others(follower)) operations.resume(node)
})

t.test(
  'redirect mode: a write of Consul\u2019s API is sent to the leader\u2019s gateway',
  async t => {
    const cluster = await startCluster(t, { writeMode: 'redirect' })
    const leader = await cluster.leader()
    const [follower] = cluster.others(leader) as [NodePlace]
    const put = { method: 'PUT', path: '/v1/kv/a%2Fb?cas=0', body: 'v' }
    const { status, headers } = await cluster.gateway(follower).ask(put)
    t.equal(status, 307)
    t.equal(headers.location, `${gatewayUrl(leader)}/v1/kv/a%2Fb?cas=0`)
    t.equal((await cluster.gateway(leader).ask(put)).body, 'true')
    t.match(await clientOf(follower).kv.get('a/b'), { Value: 'v' })
    // This client follows no redirect: agent/docs/operations.md says so to whoever chooses the write mode.
    const told = await clientOf(follower)
      .kv.set('c', 'v')
      .catch((error: { statusCode: number }) => error.statusCode)
    t.equal(told, 307)
    t.equal(await clientOf(leader).kv.set('c', 'v'), true)
  },
)

/** Follows all changes as a client should: comes back with the last id it has seen, wherever somebody answers. */
class Follower {
  readonly keys = new Set<string>()
  ascending = true
  resumed = 0
  compacted = 0
  readonly #cluster: TestCluster
  #stream: EventStream | null = null
  #at = 0
  #last = '0'
  #taken = 0
  readonly #timer: NodeJS.Timeout

  constructor(cluster: TestCluster) {
    this.#cluster = cluster
    this.#timer = setInterval(() => this.#look(), 20)
  }

  /** To the next gateway. */
  move(): void {
    this.#stream?.close()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stream?.close()
  }

  #look(): void {
    const stream = this.#stream
    if (stream !== null) this.#take(stream)
    if (stream !== null && !stream.ended) return
    const node = this.#cluster.nodes[this.#at++ % this.#cluster.nodes.length] as NodePlace
    if (stream?.status === 410) this.compacted++
    if (stream !== null) this.resumed++
    this.#taken = 0
    const where = { host: '127.0.0.1', port: node.gatewayPort }
    this.#stream = new EventStream(where, '/v1/watch', { 'Last-Event-ID': this.#last })
  }

  #take(stream: EventStream): void {
    for (const { index, changes } of stream.changes.slice(this.#taken)) {
      this.#taken++
      if (index <= Number(this.#last)) this.ascending = false
      this.#last = String(index)
      for (const { key } of changes) this.keys.add(String(key))
    }
    if (stream.lastId !== '' && Number(stream.lastId) > Number(this.#last))
      this.#last = stream.lastId
  }
}
