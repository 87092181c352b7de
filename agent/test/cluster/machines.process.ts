/** Machines of other kinds on real clusters, through nginx. Run by itself: `npx tsx agent/test/cluster/machines.process.ts`. */

import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../../../scripts/lib/layout.ts'
import { machineOf } from '../../../scripts/lib/machine-path.ts'
import { down, kill, start, up } from '../../../scripts/lib/operations.ts'
import type { Answer, Client } from './client.ts'
import { startCluster, until } from './harness.ts'

t.setTimeout(120_000)

const COUNTER = machineOf(join(ROOT, 'agent/examples/2-counter'))
const QUEUE = machineOf(join(ROOT, 'agent/examples/3-queue/queue.ts'))

t.test('the counter counts each acknowledged increment once, through kills', async t => {
  const cluster = await startCluster(t, { machine: COUNTER })
  const clients = cluster.nodes.map(node => cluster.gateway(node))
  const tally = { acknowledged: 0, unknown: 0, highest: 0 }
  let counting = true
  const increment = async (client: Client): Promise<void> => {
    while (counting) {
      const { status, body } = await client.ask({ method: 'POST', path: '/fsm/counter/increment' })
      if (status === 200) tally.acknowledged += 1
      else if (status !== 503) tally.unknown += 1
      if (status === 200) tally.highest = Math.max(tally.highest, Number(body))
    }
  }
  const running = clients.map(increment)
  const more = (by: number) => {
    const target = tally.acknowledged + by
    return until('increments are acknowledged', () => tally.acknowledged >= target)
  }
  await more(50)
  for (const victim of [await cluster.leader(), ...cluster.nodes]) {
    await kill(victim)
    await more(20)
    await start(cluster.place, victim)
  }
  counting = false
  await Promise.all(running)
  await cluster.settled()
  const counts = await Promise.all(
    cluster.nodes.map(async node => (await cluster.agent(node).get('/fsm/counter/')).body),
  )
  const count = Number(counts[0])
  t.strictSame(new Set(counts), new Set([`${count}`]), 'every node shows the same')
  const { acknowledged, unknown, highest } = tally
  t.comment(`acknowledged ${acknowledged}, unknown ${unknown}, count ${count}`)
  t.ok(acknowledged <= count && count <= acknowledged + unknown, 'each once')
  t.ok(highest <= count)

  t.test('a repeated request counts once, through any gateway', async t => {
    const path = '/fsm/counter/increment'
    const ask = { method: 'POST', path, headers: { 'Idempotency-Key': 'again' } }
    for (const client of clients) t.equal((await client.ask(ask)).body, `${count + 1}`)
  })

  t.test('after a restart of everything it goes on where it was', async t => {
    await down(cluster.place.directory)
    await up(cluster.place)
    for (const client of clients) {
      t.equal((await client.get('/fsm/counter/?consistent')).body, `${count + 1}`)
    }
  })

  t.test('keys are refused in words', async t => {
    const [client] = clients
    t.match(codeOf(await client?.write({ a: 'b' })), '501 NO_KEYS')
    t.match(codeOf(await client?.get('/key/a')), '501 NO_KEYS')
  })

  t.test('its data is not opened by another machine', async t => {
    await down(cluster.place.directory)
    const shape = { ...cluster.place.shape, machine: 'sqlite-kv' }
    const [node] = cluster.nodes
    if (node === undefined) return
    await t.rejects(up({ ...cluster.place, shape }), /data of counter, not of sqlite-kv/)
  })
})

t.test('the queue gives a job to one worker, and again when that one is late', async t => {
  const cluster = await startCluster(t, { machine: QUEUE })
  const clients = cluster.nodes.map(node => cluster.gateway(node))
  const [first, second, third] = clients
  if (first === undefined || second === undefined || third === undefined) return
  const ask = (client: Client, method: string, path: string, body = '') =>
    client.ask({ method, path: `/fsm/queue/${path}`, body })
  t.match(codeOf(await ask(first, 'POST', 'take')), '422 NO_JOB')
  const { id } = JSON.parse((await ask(second, 'POST', '', 'work')).body) as { id: number }
  t.equal((await ask(first, 'POST', 'take?seconds=1')).status, 200)
  t.match(codeOf(await ask(second, 'POST', 'take?seconds=1')), '422 NO_JOB')
  let again: Answer | null = null
  await until('the job is given out again', async () => {
    again = await ask(third, 'POST', 'take?seconds=60')
    return again.status === 200
  })
  t.match(again, { body: `"id":${id}` })
  t.equal((await ask(first, 'DELETE', `${id}`)).status, 200)
  t.match(codeOf(await ask(second, 'DELETE', `${id}`)), '422 NO_SUCH_JOB')
  t.equal((await ask(third, 'GET', '?consistent')).body, '[]')
})

t.test('SQL: written through any gateway, read on every node', async t => {
  const cluster = await startCluster(t, { machine: 'sql' })
  const clients = cluster.nodes.map(node => cluster.gateway(node))
  const [first, second, third] = clients
  if (first === undefined || second === undefined || third === undefined) return
  const post = (client: Client, path: string, body: object) =>
    client.ask({ method: 'POST', path: `/fsm/sql/${path}`, body: JSON.stringify(body) })
  const table =
    'CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE, at TEXT DEFAULT CURRENT_TIMESTAMP)'
  t.equal((await post(first, 'execute', { statements: [table] })).status, 200)
  const insert = { sql: 'INSERT INTO users(name) VALUES(?) RETURNING id', params: ['batman'] }
  const written = await post(second, 'execute', { statements: [insert] })
  t.equal(written.body, '{"results":[{"columns":["id"],"rows":[[1]]}]}')
  t.match(codeOf(await post(third, 'execute', { statements: [insert] })), '422 SQLITE_CONSTRAINT')
  t.match(
    codeOf(await post(third, 'execute', { statements: ['DROP TABLE _raft'] })),
    '400 RESERVED_NAME',
  )
  const query = { sql: 'SELECT id, name, at FROM users' }
  const answers = await Promise.all(clients.map(client => post(client, 'query?consistent', query)))
  t.match(answers[0], { status: 200, body: '"rows":[[1,"batman","20' })
  t.equal(new Set(answers.map(({ body }) => body)).size, 1, 'the same on every node, times too')
  const nodes = answers.map(({ headers }) => headers['x-raft-node'])
  t.equal(new Set(nodes).size, 3, 'a query stays on the node that was asked')
  await kill(await cluster.leader())
  await until('the others write on', async () => {
    const next = { sql: 'INSERT OR IGNORE INTO users(name) VALUES(?)', params: ['robin'] }
    const asked = clients.map(client => post(client, 'execute', { statements: [next] }))
    return (await Promise.all(asked)).some(({ status }) => status === 200)
  })
  await up(cluster.place)
  await cluster.settled()
  for (const client of clients) {
    t.match((await post(client, 'query', { sql: 'SELECT count(*) FROM users' })).body, '[[2]]')
  }
})

function codeOf(answer: Answer | undefined): string {
  if (answer === undefined) return 'no answer'
  try {
    return `${answer.status} ${(JSON.parse(answer.body) as { code: string }).code}`
  } catch {
    return `${answer.status}`
  }
}
