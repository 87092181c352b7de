import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createMachine as createCounter } from '../../examples/2-counter/counter.ts'
import { restore } from '../../src/backup/restore.ts'
import { SystemClock } from '../../src/clock/system-clock.ts'
import type { Config } from '../../src/config.ts'
import { loadOrCreateIdentity } from '../../src/log/identity-file.ts'
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import { MemoryMachineAdapter } from '../../src/machine/plug-in/adapter.ts'
import { SqlMachine } from '../../src/machine/sql/sql-machine.ts'
import { RaftNode } from '../../src/node/node.ts'
import { decodeConfiguration } from '../../src/raft/configuration.ts'
import type { Identity } from '../../src/raft/types.ts'
import { MemoryNetwork } from '../../src/transport/memory-transport.ts'
import { entry, IDENTITY } from '../machine/entries.ts'
import { setText, text } from '../machine/kv-subject.ts'
import { eventually } from '../node/in-process-cluster.ts'
import { unshortened } from '../node/unshortened.ts'
import {
  BACKUP_INDEX,
  BACKUP_TERM,
  backupOf,
  configOf,
  FORMER,
  keysBackup,
  writeConfig,
} from './parts.ts'

const CHILD = fileURLToPath(new URL('./restore-child.ts', import.meta.url))
const COUNTER = fileURLToPath(new URL('../../examples/2-counter/counter.ts', import.meta.url))
const STEPS = ['claimed', 'copied', 'adopted', 'restored', 'log begun', 'identified'] as const
/** What an agent does that finds no identity. */
const drawNone = () => {
  throw new Error('this would be a new node')
}

function identityIn(config: Config): Promise<Identity> {
  const name = { clusterId: config.clusterName, nodeId: config.nodeId }
  return loadOrCreateIdentity(config.raftDir, name, drawNone)
}

/** An agent on what was restored, without its HTTP. */
async function start(t: Test, config: Config) {
  const identity = await identityIn(config)
  const [contact] = config.nodes
  if (contact === undefined) throw new Error('no node')
  const machine = new KvMachine({ file: join(config.raftDir, 'kv.sqlite') })
  const fatal: unknown[] = []
  const node = new RaftNode({
    identity,
    contact,
    founders: config.nodes,
    log: new SegmentLogStore({ directory: config.log.dir }),
    machine,
    snapshots: unshortened(),
    transport: new MemoryNetwork().transport({ ...contact, incarnation: identity.incarnation }),
    clock: new SystemClock(),
    logger: { info() {}, warn() {}, error() {} },
    seed: 1,
    ...{ electionTimeoutMs: 200, heartbeatIntervalMs: 25, commitTimeoutMs: 2000 },
    onFatal: error => fatal.push(error),
  })
  await node.start()
  t.teardown(() => node.stop())
  await eventually('it leads', () => (node.status().role === 'leader' ? true : undefined))
  return { node, machine, fatal }
}

async function isRestored(t: Test, config: Config, first: number): Promise<void> {
  const { node, machine, fatal } = await start(t, config)
  const value = (key: string) => {
    const { row } = machine.query({ kind: 'get', key: text(key) })
    return row === null ? null : Buffer.from(row.value).toString()
  }
  for (let at = 1; at <= BACKUP_INDEX; at++) t.equal(value(`k${at}`), `v${at}`)
  const outcome = await node.propose(setText('new', 'yes'))
  if (outcome.kind !== 'applied') throw new Error(outcome.kind)
  t.ok(outcome.position.index > first, 'indexes only go up')
  t.ok(outcome.position.term > BACKUP_TERM)
  t.equal(value('new'), 'yes')
  const { members } = node.status()
  t.match(members, [{ id: 'node0', role: 'voter', identified: true }])
  t.equal(members.length, 1, 'the others have to join')
  t.strictSame(fatal, [])
  await node.stop()
}

t.test('a backup becomes the first node of another cluster, which goes on behind it', async t => {
  const directory = t.testdir()
  const file = await keysBackup(directory)
  const bytes = readFileSync(file)
  const config = configOf(writeConfig(directory))
  const { identity, former, position } = await restore({ file, config, skipIndexes: 1000 })
  t.match(identity, { clusterId: 'heir', nodeId: 'node0' })
  t.match(former, FORMER)
  t.strictSame(position, { index: BACKUP_INDEX + 1001, term: BACKUP_TERM + 1 })
  t.strictSame(readFileSync(file), bytes, 'the backup stays as it was')
  const files = [
    'identity.json',
    'identity.lock',
    'kv.sqlite',
    'kv.sqlite.lock',
    'kv.sqlite.sums',
    'log',
    'machine',
  ]
  t.strictSame(readdirSync(config.raftDir).sort(), files)

  const log = new SegmentLogStore({ directory: config.log.dir })
  const { base, last, hardState, marker } = await log.open(identity)
  await log.close()
  t.strictSame({ base, last, marker }, { base: position, last: position, marker: null })
  t.strictSame(hardState, { term: position.term, vote: null, commit: position.index })
  const machine = new KvMachine({ file: join(config.raftDir, 'kv.sqlite') })
  const applied = await machine.open(identity)
  await machine.close()
  t.match(applied, position)
  const [own] = config.nodes
  t.strictSame(decodeConfiguration(applied.configuration), {
    members: [{ ...own, role: 'voter', incarnation: identity.incarnation }],
    outgoing: [],
  })
  await isRestored(t, config, position.index)
  const again = restore({ file, config, skipIndexes: 1000 })
  await t.rejects(again, /holds a node's data already/, 'once only')
})

t.test('what is not to be restored, or not there, is refused, and nothing has changed', async t => {
  const directory = t.testdir()
  const file = await keysBackup(directory)
  const config = configOf(writeConfig(directory))
  const attempt = (changed: Partial<Config>, from = file) =>
    restore({ file: from, config: { ...config, ...changed }, skipIndexes: 0 })
  await t.rejects(attempt({ clusterName: IDENTITY.clusterId }), /another cluster_name/)
  await t.rejects(attempt({ inMemory: true }), /in_memory/)
  await t.rejects(attempt({}, join(directory, 'nowhere')), /there is no such file/)
  await t.rejects(attempt({}, directory), /there is no such file/)
  await t.rejects(
    attempt({ machine: 'sql' }),
    /not a whole backup of this state machine: its tables/,
  )
  await t.rejects(attempt({ machine: 'nosuch' }), /there is no nosuch/)
  await t.rejects(attempt({ machine: COUNTER }), /not a whole backup/)
  const bytes = readFileSync(file)
  const spoilt = join(directory, 'spoilt')
  for (let run = 0; run < 20; run++) {
    const cut = Math.floor((bytes.length * run) / 20)
    writeFileSync(spoilt, bytes.subarray(0, cut))
    await t.rejects(attempt({}, spoilt), /not a whole backup/, `${cut} of ${bytes.length} bytes`)
  }
  const value = bytes.lastIndexOf('v17')
  bytes[value] = (bytes[value] ?? 0) ^ 1
  writeFileSync(spoilt, bytes)
  await t.rejects(attempt({}, spoilt), /not a whole backup/, 'a flipped bit of a value')
  t.strictSame(readdirSync(config.raftDir), ['identity.lock'], 'the directory is empty')
  await attempt({})
  await isRestored(t, config, BACKUP_INDEX)
})

t.test('a directory with anything in it is refused, and says what that is', async t => {
  const directory = t.testdir()
  const file = await keysBackup(directory)
  const config = configOf(writeConfig(directory))
  const attempt = (changed: Partial<Config> = {}, from = file) =>
    restore({ file: from, config: { ...config, ...changed }, skipIndexes: 0 })
  mkdirSync(config.raftDir)
  const inside = join(config.raftDir, 'backup.sqlite')
  writeFileSync(inside, readFileSync(file))
  await t.rejects(attempt(), /is not empty: it holds backup\.sqlite/)
  await t.rejects(attempt({}, inside), /which is to be filled: move it/)
  for (const name of 'abcdefg') writeFileSync(join(config.raftDir, name), '')
  await t.rejects(attempt(), /it holds a, b, backup\.sqlite, c, d and 3 more/)

  const raftDir = join(directory, 'other')
  const dir = join(directory, 'its-log')
  const log = { ...config.log, dir }
  mkdirSync(dir)
  writeFileSync(join(dir, '0000000001.log'), 'somebody else')
  await t.rejects(attempt({ raftDir, log }), /its-log is not empty: it holds 0000000001\.log/)
  t.equal(readFileSync(join(dir, '0000000001.log'), 'utf8'), 'somebody else')

  // The earlier Go program's configurations have "raft_dir": "./".
  const home = join(directory, 'home')
  mkdirSync(home)
  const beside = configOf(writeConfig(home, { raft_dir: './' }))
  await restore({ file, config: beside, skipIndexes: 0 })
  t.ok(existsSync(beside.file))
})

for (const step of STEPS) {
  t.test(
    `killed when ${step}: no agent takes half of it, and the next restore is whole`,
    async t => {
      const directory = t.testdir()
      const file = await keysBackup(directory)
      const settings = { log: { log_dir: 'its-log' } }
      const config = configOf(writeConfig(directory, settings))
      const child = spawn(process.execPath, ['--import', 'tsx', CHILD, file, config.file, step], {
        env: {},
        stdio: ['ignore', 'inherit', 'inherit'],
      })
      const [, signal] = await once(child, 'exit')
      t.equal(signal, 'SIGKILL')
      if (step === 'identified') {
        await t.rejects(restore({ file, config, skipIndexes: 10 }), /holds a node's data already/)
      } else {
        await t.rejects(identityIn(config), /a restore was cut short here: run it again/)
        await restore({ file, config, skipIndexes: 10 })
      }
      await isRestored(t, config, BACKUP_INDEX + 10)
    },
  )
}

t.test('another log_dir than at the attempt that was cut short is not emptied', async t => {
  const directory = t.testdir()
  const file = await keysBackup(directory)
  const config = configOf(writeConfig(directory))
  mkdirSync(config.raftDir)
  writeFileSync(join(config.raftDir, 'restore-unfinished'), JSON.stringify({ log: '/elsewhere' }))
  const log = { ...config.log, dir: join(directory, 'mine') }
  mkdirSync(log.dir)
  writeFileSync(join(log.dir, 'precious'), 'x')
  const attempt = restore({ file, config: { ...config, log }, skipIndexes: 0 })
  await t.rejects(attempt, /mine is not empty: it holds precious/)
  t.ok(existsSync(join(log.dir, 'precious')))
})

t.test('a machine in memory and one of SQL are restored too', async t => {
  const directory = t.testdir()
  const counter = new MemoryMachineAdapter(createCounter(), { directory: null })
  await counter.open(IDENTITY)
  counter.apply([entry(1, 1, Buffer.from('41'))], new Uint8Array(0))
  const sql = new SqlMachine({ directory: null })
  await sql.open(IDENTITY)
  await sql.apply([entry(1, 1, null)], new Uint8Array(0))
  const kinds = [
    { machine: COUNTER, file: await backupOf(counter, join(directory, 'counter.image')) },
    { machine: 'sql', file: await backupOf(sql, join(directory, 'sql.sqlite')) },
  ]
  for (const [at, { machine, file }] of kinds.entries()) {
    const raftDir = `data${at}`
    const config = configOf(writeConfig(directory, { machine, raft_dir: raftDir }))
    const { position } = await restore({ file, config, skipIndexes: 0 })
    t.strictSame(position, { index: 2, term: 2 })
    t.match(await identityIn(config), { clusterId: 'heir' })
  }
})
