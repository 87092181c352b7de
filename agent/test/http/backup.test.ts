import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { truncate } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { BackupSource } from '../../src/http/backup/backups.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { SnapshotView } from '../../src/machine/state-machine.ts'
import { IDENTITY } from '../machine/entries.ts'
import { setText } from '../machine/kv-subject.ts'
import { eventually } from '../node/in-process-cluster.ts'
import { type Harness, serve } from './harness.ts'
import { request } from './raw-client.ts'

const BACKUP = '/v1/cluster/backup'
const ASK = `GET ${BACKUP}`
const APPLIED = {
  ...{ index: 7, term: 2 },
  ...{ configuration: new Uint8Array(0), chainHash: new Uint8Array(32) },
} as SnapshotView['applied']

/** A view whose copy is as large as `bytes` says, and waits for `gate`. */
function viewOf(t: Test, { bytes = 10, gate = Promise.resolve() } = {}) {
  const seen = { begun: 0, released: 0 }
  const source: BackupSource = {
    clusterId: 'a "b"/c',
    directory: t.testdir(),
    snapshot: () => {
      seen.begun++
      let given: (error: Error) => void = () => undefined
      const up = new Promise<never>((_, reject) => {
        given = reject
      })
      up.catch(() => undefined)
      return {
        applied: APPLIED,
        writeTo: async file => {
          writeFileSync(file, 'begun')
          await Promise.race([gate, up])
          await truncate(file, bytes)
        },
        release: () => {
          seen.released++
          given(new Error('given up'))
        },
      }
    },
  }
  return { source, seen, nothingLeft: () => readdirSync(t.testdirName).length === 0 }
}

async function ask({ http }: Harness, path = BACKUP): Promise<IncomingMessage> {
  const asked = get({ port: http.port, path, agent: false })
  asked.on('error', () => undefined)
  const [answer] = await once(asked, 'response')
  return answer as IncomingMessage
}

t.test(
  'one file with all that was applied, which says whose it is and is what its head says',
  async t => {
    const machine = new KvMachine({ file: join(t.testdir(), 'kv.sqlite') })
    await machine.open(IDENTITY)
    t.teardown(() => machine.close())
    for (let index = 1; index <= 3; index++) {
      const position = { index, term: index } as SnapshotView['applied']
      const command = setText(`k${index}`, 'v')
      await machine.apply([{ position, command, timeMs: 0, idempotency: null }], new Uint8Array(0))
    }
    const directory = t.testdirName
    const backup = { snapshot: () => machine.snapshot(), directory, clusterId: 'edge' }
    const harness = await serve(t, { backup })
    const answer = await ask(harness)
    const body = await buffer(answer)
    const digest = createHash('sha256').update(body)
    const hex = digest.copy().digest('hex')
    t.equal(answer.statusCode, 200)
    t.match(answer.headers, {
      'content-type': 'application/vnd.sqlite3',
      'content-length': String(body.length),
      'content-disposition': 'attachment; filename="edge-3.sqlite"',
      'x-raft-index': '3',
      'x-raft-term': '3',
      'x-raft-node': 'node0',
      'repr-digest': `sha-256=:${digest.digest('base64')}:`,
      etag: `"${hex}"`,
      'cache-control': 'no-store',
      connection: 'close',
    })
    const file = join(directory, 'given')
    writeFileSync(file, body)
    const db = new Database(file, { readonly: true })
    t.equal(db.pragma('integrity_check', { simple: true }), 'ok')
    t.equal(db.prepare('SELECT count(*) FROM kv').pluck().get(), 3)
    t.equal(db.prepare('SELECT cluster_id FROM _raft').pluck().get(), IDENTITY.clusterId)
    db.close()
    t.strictSame(
      readdirSync(directory).filter(name => name.startsWith('backup-')),
      [],
    )
    await machine.checkpoint()
    t.equal(machine.durablePosition().index, 3, 'no view is left that holds up a checkpoint')
  },
)

t.test('of fifty at once one is served, the others may come again', async t => {
  const gate = makeGate()
  const { source, seen } = viewOf(t, { gate: gate.promise })
  const harness = await serve(t, { backup: source })
  const { tcp } = harness
  const first = ask(harness)
  await eventually('it is being made', () => (seen.begun === 1 ? true : undefined))
  const others = await Promise.all(Array.from({ length: 49 }, () => request(tcp, ASK)))
  for (const other of others) {
    t.equal(other.status, 429)
    t.equal(other.headers.get('retry-after'), '1')
    t.match(other.body, 'TOO_MANY_BACKUPS')
  }
  gate.open()
  t.equal((await buffer(await first)).length, 10)
  t.match((await first).headers, {
    'content-type': 'application/octet-stream',
    'content-disposition': 'attachment; filename="a__b__c-7.image"',
  })
  t.equal((await ask(harness)).statusCode, 200, 'and the next one')
  t.equal(seen.begun, 2)
})

t.test('a reader that leaves while the copy is made ends it', async t => {
  const { source, seen, nothingLeft } = viewOf(t, { gate: new Promise(() => undefined) })
  const harness = await serve(t, { backup: source })
  const leaving = get({ port: harness.http.port, path: BACKUP, agent: false })
  leaving.on('error', () => undefined)
  await eventually('it is being made', () => (seen.begun === 1 ? true : undefined))
  t.notOk(nothingLeft(), 'it lies beside the data')
  leaving.destroy()
  await eventually('nothing is left', () => (nothingLeft() ? true : undefined))
  t.ok(seen.released > 0)
  const { status } = await request(harness.tcp, 'GET /v1/cluster/members')
  t.equal(status, 200, 'the node goes on')
  const next = get({ port: harness.http.port, path: BACKUP, agent: false })
  next.on('error', () => undefined)
  await eventually('the next one is made', () => (seen.begun === 2 ? true : undefined))
  next.destroy()
})

t.test('a reader that stalls is cut, and holds up nothing', async t => {
  const { source, seen, nothingLeft } = viewOf(t, { bytes: 64 * 2 ** 20 })
  const harness = await serve(t, { backup: source, limits: { backupStallMs: 100 } })
  const answer = await ask(harness)
  answer.on('error', () => undefined)
  t.equal(answer.statusCode, 200)
  t.ok(nothingLeft(), 'a copy that is sent has no name')
  t.equal(seen.released, 1, 'nor a view')
  await eventually('the next one is served', async () => {
    const next = await ask(harness)
    next.on('error', () => undefined)
    const { statusCode } = next
    next.destroy()
    return statusCode === 200 ? true : undefined
  })
  const received = await buffer(answer).catch(() => null)
  t.equal(received, null, 'what was sent is not taken for a whole one')
})

t.test('what fails leaves nothing behind', async t => {
  const { source, nothingLeft } = viewOf(t)
  const broken = { ...source, snapshot: () => Promise.reject(new Error('SQLITE_IOERR')) }
  const failing = await serve(t, { backup: broken })
  t.equal((await ask(failing)).statusCode, 500)
  t.ok(nothingLeft())
  t.equal((await ask(failing)).statusCode, 500, 'and the place is free')
  const full = await serve(t, { backup: { ...source, reserveBytes: Number.MAX_SAFE_INTEGER } })
  const answer = await ask(full)
  t.equal(answer.statusCode, 507)
  t.match((await buffer(answer)).toString(), /NO_SPACE/)
})

t.test('what a crash has left of a copy goes at the next start, and nothing else', async t => {
  const { source } = viewOf(t)
  const directory = t.testdirName
  mkdirSync(join(directory, 'backup-Ab3dE9'))
  writeFileSync(join(directory, 'backup-Ab3dE9', 'copy'), 'half')
  const kept = ['kv.sqlite', 'backup-of-mine', 'backup-2026']
  for (const name of kept) writeFileSync(join(directory, name), name)
  await serve(t, { backup: source })
  t.notOk(existsSync(join(directory, 'backup-Ab3dE9')))
  for (const name of kept) t.equal(readFileSync(join(directory, name), 'utf8'), name)
})

t.test('as fresh as it was asked for; and for operators only', async t => {
  const { source, seen } = viewOf(t)
  const { node, tcp, unix } = await serve(t, { backup: source })
  node.leader = null
  node.stalenessMs = 2000
  t.equal((await request(tcp, `${ASK}?consistent`)).status, 503)
  t.equal((await request(tcp, `${ASK}?max_stale=1s`)).status, 503)
  t.equal((await request(tcp, ASK, { headers: ['X-Raft-Min-Index: 1'] })).status, 504)
  t.equal((await request(unix, ASK)).status, 403)
  t.equal((await request(tcp, ASK, { headers: ['X-Raft-Hop: 1'] })).status, 403)
  t.equal((await request(tcp, `HEAD ${BACKUP}`)).status, 405)
  node.quarantine = 'in quarantine'
  t.match(await request(tcp, ASK), { status: 503, body: /NOT_SERVING.*this node is in quarantine/ })
  node.quarantine = null
  const refused = { status: 503, body: /NOT_SERVING.*waits for a snapshot/ }
  node.firstIndex = 9999
  t.match(await request(tcp, ASK), refused, 'its machine ends before its log begins')
  node.firstIndex = 1
  node.installing = true
  t.match(await request(tcp, ASK), refused)
  node.installing = false
  t.equal(seen.begun, 0)
  t.equal((await request(tcp, ASK)).status, 200, 'without a leader too')
  t.equal((await request(tcp, `${ASK}?stale`)).status, 200)
})

function makeGate(): { open: () => void; promise: Promise<void> } {
  let open: () => void = () => undefined
  const promise = new Promise<void>(resolve => {
    open = resolve
  })
  return { open, promise }
}
