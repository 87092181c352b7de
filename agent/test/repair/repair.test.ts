import t from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { leaveCluster } from '../../src/http/leave-client.ts'
import { LogRefusal } from '../../src/log/log-store.ts'
import { MachineDamaged } from '../../src/machine/state-machine.ts'
import {
  type Configuration,
  encodeConfiguration,
  initialConfiguration,
} from '../../src/raft/configuration.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'
import { QuarantineFile, readMarked } from '../../src/repair/quarantine-file.ts'
import { readRejoin, wayBack } from '../../src/repair/rejoin.ts'
import { damageOf, Repair, type RepairOptions } from '../../src/repair/repair.ts'
import { finishSetAside, newestSetAside, setAside } from '../../src/repair/set-aside.ts'
import { type Harness, serve } from '../http/harness.ts'
import { SimulatedDisk } from '../log/simulated-disk.ts'

const IDENTITY = { clusterId: 'c', nodeId: asNodeId('node1'), incarnation: 'one-1' }
const DATA = '/data'
const LOG = '/data/log'

const text = (disk: SimulatedDisk, path: string) => Buffer.from(disk.bytes(path)).toString()

/** Every file and what is in it, by path; the journal of a repair and locks apart. */
function contents(disk: SimulatedDisk): Record<string, string> {
  const files = disk.paths().flatMap(path => {
    try {
      return [[path, text(disk, path)] as const]
    } catch {
      return [] // a directory
    }
  })
  return Object.fromEntries(files)
}

/** A node's data directory, as it lies there when the node is stopped. */
async function stopped(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk()
  for (const directory of [DATA, LOG, '/data/snapshots']) await disk.makeDirectory(directory)
  for (const name of [
    ...['identity.json', 'peers.json', 'machine', 'agent.json', 'kv.sqlite', 'kv.sqlite-wal'],
    ...['kv.sqlite.lock', 'kv.sqlite.sums', 'kv.backup', 'flight-node1-1.json'],
    ...['log/0000000001.log', 'log/0000000002.log', 'log/owner.lock'],
    ...['snapshots/7.snapshot', 'snapshots/staging'],
  ]) {
    disk.replace(`${DATA}/${name}`, Buffer.from(name))
  }
  for (const directory of ['/', DATA, LOG, '/data/snapshots']) await disk.syncDirectory(directory)
  return disk
}

interface Given extends Partial<RepairOptions> {
  readonly via?: readonly Harness[]
  readonly configuration?: Configuration
}

function repairOn(disk: SimulatedDisk, { via = [], configuration, ...change }: Given = {}) {
  const lines: string[] = []
  const log = (_fields: object, line: string) => lines.push(line)
  const nodes = via.map(({ http }, at) => {
    return { id: asNodeId(`node${at + 2}`), address: `127.0.0.1:${http.port}` }
  })
  const clock = new SystemClock()
  clock.wallMs = () => Date.UTC(2026, 0, 2, 3, 4, 5)
  const repair = new Repair({
    place: {
      dataDir: DATA,
      logDir: LOG,
      machineFiles: () => Promise.resolve('kv.sqlite'),
      foreign: ['agent.json'],
    },
    policy: 'auto',
    known: { id: IDENTITY.nodeId, nodes, join: null },
    clock,
    log: { info: log, warn: log, error: log },
    disk,
    ...change,
  })
  const stored =
    configuration === undefined ? new Uint8Array(0) : encodeConfiguration(configuration)
  const position = { index: asLogIndex(3), term: asTerm(1) }
  const machine = {
    open: () => ({ ...position, configuration: stored, chainHash: new Uint8Array(32) }),
    close: () => {},
  }
  return { repair, lines, unstarted: { identity: IDENTITY, machine } }
}

const machineError = () =>
  new Error('open', { cause: new MachineDamaged('/data/kv.sqlite', 'a page') })
const logError = () => new LogRefusal('damage', '/data/log/0000000001.log, offset 9: no')
const ASIDE = '/data/damaged/2026-01-02T03-04-05.000Z'

t.test('a damaged machine is moved away whole; log, vote and identity stay', async t => {
  const disk = await stopped()
  const before = contents(disk)
  const { repair, unstarted, lines } = repairOn(disk)
  const error = machineError()
  await repair.after(error, unstarted)
  const moved = ['kv.sqlite', 'kv.sqlite-wal', 'kv.sqlite.sums']
  const expected = Object.entries(before).map(([path, content]) => {
    return [moved.includes(content) ? `${ASIDE}-machine-damaged/${content}` : path, content]
  })
  t.strictSame(contents(disk), Object.fromEntries(expected))
  t.match(lines.at(-1), /fetched again, .*its files are in \/data\/damaged\/2026/)
  t.equal(await newestSetAside(disk, DATA), '2026-01-02T03-04-05.000Z-machine-damaged')
  await t.rejects(repair.after(error, unstarted), error, 'damaged again at once: that is no rot')
})

t.test('a machine that differed takes what was made of it along, and the mark', async t => {
  const disk = await stopped()
  const mark = new QuarantineFile(DATA, disk)
  const [own, majority] = ['ab'.repeat(32), 'cd'.repeat(32)]
  const written = { index: asLogIndex(9), own, majority, since: '2026-01-01T00:00:00.000Z' }
  t.equal(await mark.read(), null)
  await mark.write(written)
  t.match(await mark.read(), written)
  await repairOn(disk, { policy: 'never' }).repair.before()
  t.match(await mark.read(), written, 'with "never" it stays in quarantine')
  await repairOn(disk).repair.before()
  t.equal(await readMarked(disk, DATA), null)
  const to = `${ASIDE}-machine-differs`
  t.equal(text(disk, `${to}/kv.sqlite`), 'kv.sqlite')
  t.equal(JSON.parse(text(disk, `${to}/quarantine.json`)).own, own)
  t.equal(text(disk, `${to}/snapshots/7.snapshot`), 'snapshots/7.snapshot')
  t.equal(text(disk, '/data/snapshots/staging'), 'snapshots/staging', 'that is the leader’s')
  t.equal(text(disk, '/data/log/0000000001.log'), 'log/0000000001.log')
})

t.test('a machine found damaged while it ran is moved away at the next start', async t => {
  const marked = '{"kind":"damaged","problem":"kv.sqlite is damaged","since":"2026"}'
  const disk = await stopped()
  disk.replace('/data/quarantine.json', Buffer.from(marked))
  const refused = repairOn(disk, { policy: 'never' }).repair.before()
  await t.rejects(refused, {
    reason: 'damage',
    message: /kv.sqlite is damaged.*move kv.sqlite\* and/,
  })
  await repairOn(disk).repair.before()
  t.equal(text(disk, `${ASIDE}-machine-damaged/kv.sqlite`), 'kv.sqlite')
  for (const bytes of ['', '{}', '{"kind":"damaged"}', '{"kind":"differs","index":-1}']) {
    const unreadable = await stopped()
    unreadable.replace('/data/quarantine.json', Buffer.from(bytes))
    const message = /quarantine.json: not what was written/
    await t.rejects(repairOn(unreadable).repair.before(), { reason: 'damage', message })
  }
})

t.test('only damage is repaired: what may be somebody’s, or elsewhere, is left alone', async t => {
  const disk = await stopped()
  const before = contents(disk)
  const { repair, unstarted } = repairOn(disk)
  for (const error of [
    new LogRefusal('identity', 'belongs to'),
    new LogRefusal('lost', 'segment 2 is missing'),
    new LogRefusal('owner', 'in use by another process'),
    Object.assign(new Error('EIO'), { code: 'EIO' }),
    new Error('open kv.sqlite', { cause: new Error('belongs to node9') }),
  ]) {
    t.equal(damageOf(error), null)
    await t.rejects(repair.after(error, unstarted), error)
  }
  const { repair: never } = repairOn(disk, { policy: 'never' })
  await t.rejects(never.after(machineError(), unstarted), { message: 'open' })
  await t.rejects(never.after(logError(), unstarted), { message: /offset 9/ })
  t.strictSame(contents(disk), before)
})

t.test('a disk that is damaged again and again is not mended for ever', async t => {
  const disk = await stopped()
  await disk.makeDirectory('/data/damaged')
  for (let at = 0; at < 10; at++) await disk.makeDirectory(`/data/damaged/${at}`)
  const before = contents(disk)
  const { repair, unstarted } = repairOn(disk)
  const message = /is damaged.* 10 repairs lie in damaged\/: look at this disk/
  await t.rejects(repair.after(new MachineDamaged('/data/kv.sqlite', 'a page'), unstarted), {
    message,
  })
  t.strictSame(contents(disk), before)
  const marked = '{"kind":"damaged","problem":"kv.sqlite is damaged","since":"2026"}'
  disk.replace('/data/quarantine.json', Buffer.from(marked))
  await t.rejects(repair.before(), { message })
  disk.lose('/data/damaged/3')
  await repair.before()
  t.equal(text(disk, `${ASIDE}-machine-damaged/kv.sqlite`), 'kv.sqlite')
})

t.test('who has nobody to come back to keeps a damaged log', async t => {
  const disk = await stopped()
  const before = contents(disk)
  const { repair, unstarted } = repairOn(disk)
  await t.rejects(repair.after(logError(), unstarted), { reason: 'damage', message: /offset 9/ })
  t.strictSame(contents(disk), before)
})

t.test(
  'with a damaged log nothing moves before the cluster has removed what the node was',
  async t => {
    const other = await serve(t)
    other.node.connected = false
    other.node.cutOff = true
    const disk = await stopped()
    // It knows no renames of directories.
    for (const path of ['', '/7.snapshot', '/staging']) disk.lose(`/data/snapshots${path}`)
    const before = contents(disk)
    const { repair, unstarted, lines } = repairOn(disk, { via: [other] })
    const repaired = repair.after(logError(), unstarted)
    while (!lines.some(line => /^not let go yet: .* answers 503: /.test(line))) await pause()
    t.strictSame(contents(disk), before, 'without a majority')
    other.node.cutOff = false
    await repaired
    t.strictSame(other.node.changes, [{ kind: 'remove', id: 'node1', incarnation: 'one-1' }])
    const to = `${ASIDE}-log-damaged`
    const stays = ['agent.json', 'kv.sqlite.lock', 'flight-node1-1.json', 'log/owner.lock']
    for (const [path, content] of Object.entries(before)) {
      const now = stays.includes(content) ? path : path.replace(DATA, to)
      t.equal(text(disk, now), content, now)
    }
    const address = `127.0.0.1:${other.http.port}`
    t.match(await readRejoin(disk, DATA), { via: [address], voter: true, former: 'one-1' })
  },
)

t.test('a log on a disk of its own is set aside there', async t => {
  const other = await serve(t)
  other.node.connected = false
  const disk = await stopped()
  for (const path of ['', '/7.snapshot', '/staging']) disk.lose(`/data/snapshots${path}`)
  await disk.makeDirectory('/logs')
  disk.replace('/logs/0000000009.log', Buffer.from('elsewhere'))
  await disk.makeDirectory('/logs/damaged')
  disk.replace('/logs/damaged/of-before', Buffer.from('kept'))
  const place = {
    dataDir: DATA,
    logDir: '/logs',
    machineFiles: () => Promise.resolve('kv.sqlite'),
    foreign: ['log'],
  }
  const { repair, unstarted } = repairOn(disk, { via: [other], place })
  await repair.after(logError(), unstarted)
  const name = '2026-01-02T03-04-05.000Z-log-damaged'
  t.equal(text(disk, `/logs/damaged/${name}/0000000009.log`), 'elsewhere')
  t.equal(text(disk, '/logs/damaged/of-before'), 'kept')
  t.equal(text(disk, `/data/damaged/${name}/identity.json`), 'identity.json')
  t.notOk(disk.paths().includes('/logs/0000000009.log'))
})

t.test('a crash at any step of a repair is harmless: the next start finishes it', async t => {
  const plan = {
    moves: [
      { from: LOG, to: `${ASIDE}/log`, names: ['0000000001.log', '0000000002.log'] },
      { from: DATA, to: ASIDE, names: ['identity.json', 'kv.sqlite', 'gone.already'] },
    ],
    note: { name: 'rejoin.json', text: '{"a":1}' },
  }
  const whole = await stopped()
  const first = whole.operations
  await setAside(whole, DATA, plan)
  const steps = whole.operations - first
  t.ok(steps > 10, `${steps} steps`)
  t.equal(await finishSetAside(whole, DATA), false, 'nothing is left to do')
  const expected = contents(whole)
  const before = contents(await stopped())
  for (const way of ['process died', 'power lost', 'power lost, names kept'] as const) {
    for (let step = 1; step <= steps; step++) {
      const disk = await stopped()
      const start = disk.operations
      disk.plan = ({ number }) =>
        number === start + step ? { code: 'CRASH', keep: () => false } : null
      await t.rejects(setAside(disk, DATA, plan), /CRASH|crashed/)
      const next = disk.restarted(way)
      const begun = await finishSetAside(next, DATA)
      const found = contents(next)
      for (const path of Object.keys(found)) if (path.endsWith('.tmp')) delete found[path]
      t.strictSame(
        found,
        begun || 'rejoin.json' in found ? expected : afterCrash(found),
        `${way} ${step}`,
      )
    }
  }
  /** Not begun yet, or done already. */
  function afterCrash(found: Record<string, string>) {
    return `${ASIDE}/kv.sqlite` in found ? expected : before
  }
})

t.test('a plan that cannot be read is refused, and says where everything is', async t => {
  const disk = await stopped()
  disk.replace('/data/repair.json', Buffer.from('{"moves":'))
  const message = /repair.json: not the plan of a repair; what it moved is in damaged\//
  await t.rejects(repairOn(disk).repair.before(), { reason: 'damage', message })
})

t.test(
  'the way back: who the log named last, then the configuration file; an edge stays one',
  async t => {
    const id = asNodeId
    const member = (name: string) => {
      return { id: id(name), address: `${name}:1`, raftBind: `${name}:2`, gateway: null }
    }
    const configuration = initialConfiguration(['a', 'b', 'c'].map(member))
    const nodes = ['a', 'b', 'd'].map(member)
    const known = { id: id('a'), configuration, nodes, join: null }
    t.strictSame(wayBack(known), { via: ['b:1', 'c:1', 'd:1'], voter: true })
    const edge = { ...configuration.members[0], role: 'edge' as const }
    const asEdge = { outgoing: [], members: [edge, ...configuration.members.slice(1)] }
    t.equal(wayBack({ ...known, configuration: asEdge as Configuration }).voter, false)
    const none = { members: [], outgoing: [] }
    const join = { via: ['e:1'], voter: false }
    const alone = wayBack({ id: id('a'), configuration: none, nodes: [member('a')], join })
    t.strictSame(alone, { via: ['e:1'], voter: false })
  },
)

t.test('to leave: one after the other is asked until a leader has agreed', async t => {
  const [behind, leader] = [await serve(t), await serve(t)]
  for (const { node } of [behind, leader]) node.connected = false
  behind.node.leader = null
  leader.node.outcome = { kind: 'change-pending' }
  const lines: string[] = []
  const log = (_fields: object, line: string) => {
    lines.push(line)
    if (line.includes('CHANGE') || /earlier change/.test(line))
      leader.node.outcome = { kind: 'applied' }
  }
  await leaveCluster({
    id: IDENTITY.nodeId,
    incarnation: 'one 1/2',
    via: ['127.0.0.1:1', ...[behind, leader].map(({ http }) => `127.0.0.1:${http.port}`)],
    clock: new SystemClock(),
    log: { info: log, warn: log, error: log },
    retryMs: 5,
  })
  t.match(leader.node.changes.at(-1), { kind: 'remove', id: 'node1', incarnation: 'one 1/2' })
  t.match(
    lines.join('\n'),
    /127.0.0.1:1 does not answer: .*\n.*answers 503: .*\n.*answers 503: an earlier/,
  )
})

function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 5))
}
