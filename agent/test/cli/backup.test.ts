import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { writeConfig } from '../backup/parts.ts'
import { realAgent } from '../http/real-agent.ts'
import { run } from './harness.ts'

/** An agent with three keys, and the index of the last write. */
async function agentWithKeys(t: Test): Promise<{ on: string[]; index: number }> {
  const { base } = await realAgent(t)
  const on = ['-e', base]
  for (const key of ['a', 'b', 'c']) t.equal((await run([...on, 'kv', 'put', key, key])).code, 0)
  const row = JSON.parse((await run([...on, '--json', 'kv', 'get', 'c'])).stdout)
  return { on, index: row.modifyIndex }
}

/** Sends what it is told as a backup. */
async function sender(t: Test, head: Record<string, string>, body: Buffer): Promise<string[]> {
  const server = createServer((incoming, outgoing) => {
    if (incoming.url === '/livez') outgoing.end()
    else if (incoming.url?.startsWith('/v1/cluster/backup')) {
      outgoing.writeHead(200, head)
      outgoing.write(body, () => outgoing.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  return ['-e', `127.0.0.1:${(server.address() as AddressInfo).port}`]
}

function headOf(body: Buffer): Record<string, string> {
  const digest = createHash('sha256').update(body).digest('base64')
  return { 'Repr-Digest': `sha-256=:${digest}:`, 'Content-Length': String(body.length) }
}

t.test('backup: a file that was verified, of whoever may read it only', async t => {
  const { on, index } = await agentWithKeys(t)
  const directory = t.testdir()
  const file = join(directory, 'today.sqlite')
  const done = await run([...on, 'backup', file, '--consistent'])
  t.match(done, {
    code: 0,
    stdout: /today\.sqlite: all that node0 had applied up to entry \d+, \d+ bytes/,
  })
  t.strictSame(readdirSync(directory), ['today.sqlite'])
  t.equal(statSync(file).mode & 0o777, 0o600)
  const db = new Database(file, { readonly: true })
  t.equal(db.prepare('SELECT count(*) FROM kv').pluck().get(), 3)
  db.close()

  const bytes = readFileSync(file)
  t.match(await run([...on, 'backup', file]), { code: 1, stderr: /is there already; --force/ })
  t.strictSame(readFileSync(file), bytes)
  const forced = await run([...on, '--json', 'backup', file, '--force'])
  const result = JSON.parse(forced.stdout)
  t.match(result, { node: 'node0', cluster: 'test', bytes: Number })
  t.ok(result.index >= index)
  const hash = createHash('sha256').update(readFileSync(file)).digest('hex')
  t.equal(result.sha256, hash)

  const nowhere = join(directory, 'nowhere', 'x')
  t.match(await run([...on, 'backup', nowhere]), { code: 1, stderr: /ENOENT/ })
  t.match(await run(['-e', '127.0.0.1:1', 'backup', join(directory, 'y')]), { code: 3 })
  t.strictSame(readdirSync(directory), ['today.sqlite'])
})

t.test('backup: the next endpoint is asked where one cannot', async t => {
  const { on } = await agentWithKeys(t)
  const busy = createServer((incoming, outgoing) => {
    outgoing.writeHead(incoming.url === '/livez' ? 200 : 429).end()
  })
  busy.listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => void busy.close())
  const other = `127.0.0.1:${(busy.address() as AddressInfo).port}`
  const file = join(t.testdir(), 'x')
  t.match(await run(['-e', other, 'backup', file]), { code: 3, stderr: /HTTP 429/ })
  t.equal((await run(['-e', `127.0.0.1:1,${other}`, ...on, 'backup', file])).code, 0)
})

t.test('backup -: as it comes, but not into a terminal', async t => {
  const { on } = await agentWithKeys(t)
  t.match(await run([...on, 'backup', '-'], { terminal: true }), { code: 2 })
  const { code, stdout, stderr } = await run([...on, 'backup', '-'])
  t.equal(code, 0)
  t.ok(stdout.startsWith('SQLite format 3\0'))
  t.match(stderr, /all that node0 had applied/)
})

t.test('backup: what did not come as it was sent is no backup', async t => {
  const directory = t.testdir()
  const file = join(directory, 'x')
  const body = Buffer.from('SQLite format 3\0 and no database behind it'.repeat(100))
  const head = headOf(body)
  const longer = { ...head, 'Content-Length': String(body.length + 1) }
  const changed = Buffer.from(body)
  changed[500] = 0
  const { 'Repr-Digest': _, ...bare } = head
  for (const [given, sent, words] of [
    [head, body, /what came is damaged/],
    [longer, body, /ended after \d+ of \d+ bytes/],
    [head, changed, /its digest differs/],
    [bare, body, /no agent's backup/],
  ] as const) {
    const on = await sender(t, given, sent)
    t.match(await run([...on, 'backup', file]), { code: 1, stderr: words })
    t.strictSame(readdirSync(directory), [])
  }
})

t.test('restore: what was done, and what is to be done next', async t => {
  const { on } = await agentWithKeys(t)
  const directory = t.testdir()
  const file = join(directory, 'today.sqlite')
  t.equal((await run([...on, 'backup', file])).code, 0)
  const config = writeConfig(directory, { cluster_name: 'test' })
  const attempt = ['restore', '--from', file, '--config', config]
  const same = await run(attempt)
  t.match(same, { code: 1, stderr: /the backup is of a cluster test: give the new one another/ })
  t.match(await run(['restore', '--from', file]), { code: 2 })
  t.match(await run([...attempt, '--cluster-name', 'a b']), { code: 1, stderr: /cluster_name/ })
  t.match(await run([...attempt, '--skip-indexes', '-1']), { code: 2 })
  const done = await run([...attempt, '--cluster-name', 'test-2'])
  t.equal(done.code, 0, done.stderr)
  t.match(
    done.stdout,
    /node0 in .*data is the only voter of the new cluster test-2, which begins at/,
  )
  t.match(done.stdout, /first set "cluster_name": "test-2" in .*agent\.json/)
  t.match(done.stdout, /"join": \["127\.0\.0\.1:8185"\]/)

  const other = join(directory, 'other')
  mkdirSync(other)
  const named = writeConfig(other, { cluster_name: 'test-3' })
  writeFileSync(join(other, 'note'), '')
  const told = await run(['--json', 'restore', '--from', file, '--config', named])
  const result = JSON.parse(told.stdout)
  t.ok(result.position.index > 1e9, 'no index is given twice')
  t.match(result, {
    clusterId: 'test-3',
    nodeId: 'node0',
    raftDir: join(other, 'data'),
    former: { clusterId: 'test', applied: { index: Number, term: Number } },
    position: { index: Number },
  })
  t.notMatch((await run(['--help'])).stdout, 'undefined')
})
