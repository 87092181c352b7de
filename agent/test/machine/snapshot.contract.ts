import { deepStrictEqual } from 'node:assert'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Test } from 'tap'
import type { CommittedEntry, StateMachine } from '../../src/machine/state-machine.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'
import { plain } from './account.contract.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'
import type { Subject } from './state-machine.contract.ts'

/** Another member of the same cluster. */
const OTHER = { ...IDENTITY, nodeId: asNodeId('node1'), incarnation: 'of node1' }
const REQUEST = { key: 'once', requestHash: new Uint8Array(32) }

/** Of another cluster, made of a backup. */
const HEIR = { ...OTHER, clusterId: 'cluster-2' }
const BEGINNING = {
  position: { index: asLogIndex(1000), term: asTerm(5) },
  configuration: Uint8Array.of(3, 1),
}

/** What every StateMachine does when it is copied to another node. */
export function snapshotContract<Query, Answer>(t: Test, subject: Subject<Query, Answer>): void {
  const { visible } = subject
  const opened = async (directory: string, identity = IDENTITY) => {
    await mkdir(directory, { recursive: true })
    const machine = subject.create(directory)
    t.teardown(() => machine.close())
    await machine.open(identity)
    return machine
  }

  t.test('a copy is all that the machine was: data, position, configuration, chain', async t => {
    const parent = t.testdir()
    let runs = 0
    const commands = fc.array(fc.option(subject.commands, { freq: 9 }), { maxLength: 60 })
    const property = fc.asyncProperty(commands, commands, async (before, after) => {
      const place = join(parent, `${runs++}`)
      const from = await opened(join(place, 'from'))
      const to = await opened(join(place, 'to'), OTHER)
      await from.apply(entriesOf(before, 1), Uint8Array.of(7))
      await to.apply(entriesOf(after.slice(0, 5), 1), NONE)
      const file = join(place, 'copy')
      await copy(from, file)
      deepStrictEqual(plain(await to.inspect(file)), plain(from.applied()))
      deepStrictEqual(plain(await to.restore(file)), plain(from.applied()))
      deepStrictEqual(plain(to.applied()), plain(from.applied()))
      deepStrictEqual(await subject.dump(to), await subject.dump(from))
      const next = entriesOf(after, before.length + 1)
      deepStrictEqual(await to.apply(next, NONE), await from.apply(next, NONE))
      deepStrictEqual(plain(to.applied()), plain(from.applied()))
      deepStrictEqual(await subject.dump(to), await subject.dump(from))
      await from.close()
      await to.close()
    })
    await fc.assert(property, { numRuns: 15, seed: drawSeed(t) })
  })

  t.test('a view stays as it was, whatever is applied while it is written', async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    const model = subject.model()
    const first = entriesOf([visible, null, visible], 1)
    for (const each of first) model.apply(each)
    await from.apply(first, NONE)
    const before = plain(from.applied())
    const view = await from.snapshot()
    t.strictSame(plain(view.applied), before)
    let index = first.length
    let over = false
    const write = async () => {
      while (!over) {
        await from.apply(entriesOf([visible], ++index), NONE)
        if (index % 50 === 0) await from.checkpoint()
        await new Promise(setImmediate)
      }
    }
    const writing = write()
    const file = join(place, 'copy')
    await view.writeTo(file)
    over = true
    await writing
    view.release()
    const to = await opened(join(place, 'to'), OTHER)
    await to.inspect(file)
    t.strictSame(plain(await to.restore(file)), before)
    t.strictSame(await subject.dump(to), model.dump())
    t.ok(index > first.length, `${index - first.length} entries meanwhile`)
    if (!subject.durable) return
    await new Promise(setImmediate)
    t.equal((await from.checkpoint()).index, index, 'a view that was released holds up nothing')
  })

  t.test('the answers to requests are in it: a retry takes no second effect', async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    const request = (index: number) => ({ ...entry(index, 1, visible), idempotency: REQUEST })
    const [first] = await from.apply([request(1)], NONE)
    const file = join(place, 'copy')
    await copy(from, file)
    const to = await opened(join(place, 'to'), OTHER)
    await to.inspect(file)
    await to.restore(file)
    const before = await subject.dump(to)
    t.strictSame(await to.apply([request(2)], NONE), [first])
    t.strictSame(await subject.dump(to), before)
  })

  t.test('a file that is damaged anywhere, foreign or no snapshot is refused', async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    await from.apply(entriesOf(new Array(20).fill(visible), 1), NONE)
    const file = join(place, 'copy')
    await copy(from, file)
    const to = await opened(join(place, 'to'), OTHER)
    await to.apply([entry(1, 1, null)], NONE)
    const state = await subject.dump(to)
    const bytes = readFileSync(file)
    const spoilt: [string, Uint8Array][] = [
      ['empty', new Uint8Array(0)],
      ['text', Buffer.from('not a snapshot'.repeat(1000))],
      ['cut in half', bytes.subarray(0, bytes.length >> 1)],
      ['without its end', bytes.subarray(0, bytes.length - 600)],
      ['without its head', bytes.subarray(300)],
    ]
    for (const [what, content] of spoilt) {
      writeFileSync(join(place, 'spoilt'), content)
      await t.rejects(async () => to.inspect(join(place, 'spoilt')), what)
    }
    await t.rejects(async () => to.inspect(join(place, 'nowhere')), 'not there')
    const stranger = await opened(join(place, 'stranger'), { ...OTHER, clusterId: 'cluster-2' })
    await t.rejects(async () => stranger.inspect(file), /belongs to clusterId/)
    t.strictSame(await subject.dump(to), state, 'the live state is as it was')
    t.match(await to.apply([entry(2, 1, visible)], NONE), [{ kind: 'done' }])
  })

  t.test('a backup becomes the beginning of another cluster', async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    const request = (index: number, term: number) => ({
      ...entry(index, term, visible),
      idempotency: REQUEST,
    })
    const [first] = await from.apply([request(1, 1)], Uint8Array.of(9))
    const file = join(place, 'copy')
    await copy(from, file)
    const heir = await opened(join(place, 'heir'), HEIR)
    if (heir.adopt === undefined) return
    const formers: unknown[] = []
    const adopted = await heir.adopt(file, former => {
      formers.push({ clusterId: former.clusterId, index: former.applied.index })
      return BEGINNING
    })
    t.strictSame(formers, [{ clusterId: IDENTITY.clusterId, index: 1 }])
    const { position, configuration } = BEGINNING
    const { chainHash } = from.applied()
    const expected = plain({ ...position, configuration, chainHash })
    t.strictSame(plain(adopted), expected)
    t.strictSame(plain(await heir.inspect(file)), expected, 'a member of it takes the file')
    t.strictSame(plain(await heir.restore(file)), expected)
    t.strictSame(await subject.dump(heir), await subject.dump(from))
    await t.rejects(async () => heir.apply([entry(1000, 1, visible)], NONE), /another history/)
    await t.rejects(async () => heir.apply([entry(1002, 5, visible)], NONE), /does not follow/)
    t.strictSame(await heir.apply([request(1001, 6)], NONE), [first], 'a retry is known')
    t.strictSame(await subject.dump(heir), await subject.dump(from))
  })

  t.test('a backup that is damaged, or that is not wanted, is not adopted', async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    await from.apply(entriesOf(new Array(20).fill(visible), 1), NONE)
    const file = join(place, 'copy')
    await copy(from, file)
    const heir = await opened(join(place, 'heir'), HEIR)
    const { adopt } = heir
    if (adopt === undefined) return
    const bytes = readFileSync(file)
    const unwanted = () => {
      throw new Error('not this one')
    }
    await t.rejects(async () => adopt.call(heir, file, unwanted), /not this one/)
    t.strictSame(readFileSync(file), bytes, 'and stays as it was')
    for (const cut of [0, 300, bytes.length >> 1, bytes.length - 600]) {
      writeFileSync(join(place, 'spoilt'), bytes.subarray(0, cut))
      const spoilt = async () => adopt.call(heir, join(place, 'spoilt'), () => BEGINNING)
      await t.rejects(spoilt, `${cut} bytes of it`)
    }
    t.match(await heir.apply([entry(1, 1, visible)], NONE), [{ kind: 'done' }], 'it goes on')
  })

  if (!subject.durable) return

  t.test("what was restored is there after close and open, and is its owner's", async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    await from.apply(entriesOf([visible, visible], 1), Uint8Array.of(9))
    const file = join(place, 'copy')
    await copy(from, file)
    const to = await opened(join(place, 'to'), OTHER)
    await to.apply(entriesOf(new Array(30).fill(visible), 1), NONE)
    await to.inspect(file)
    const restored = plain(await to.restore(file))
    t.match(to.durablePosition(), { index: 2 }, 'it is durable')
    await to.close()
    const again = subject.create(join(place, 'to'))
    t.strictSame(plain(await again.open(OTHER)), restored)
    t.strictSame(await subject.dump(again), await subject.dump(from))
    await again.close()
    t.notOk(existsSync(join(place, 'to', 'copy')))
  })

  t.test('reads go on while the state is replaced: each finds the old or the new', async t => {
    const place = t.testdir()
    const from = await opened(join(place, 'from'))
    await from.apply(entriesOf([visible, visible, visible], 1), NONE)
    const file = join(place, 'copy')
    await copy(from, file)
    const to = await opened(join(place, 'to'), OTHER)
    await to.apply([entry(1, 1, null)], NONE)
    const states = [await subject.dump(to), await subject.dump(from)]
    await to.inspect(file)
    let over = false
    const restored = Promise.resolve(to.restore(file)).finally(() => {
      over = true
    })
    let reads = 0
    while (!over) {
      const found = JSON.stringify(await subject.dump(to))
      if (!states.some(state => JSON.stringify(state) === found)) t.fail(found)
      reads += 1
      await new Promise(setImmediate)
    }
    await restored
    t.ok(reads > 0, `${reads} reads`)
  })
}

async function copy<Query, Answer>(
  machine: StateMachine<Query, Answer>,
  file: string,
): Promise<void> {
  const view = await machine.snapshot()
  try {
    await view.writeTo(file)
  } finally {
    view.release()
  }
}

function entriesOf(commands: readonly (Uint8Array | null)[], first: number): CommittedEntry[] {
  return commands.map((command, at) => entry(first + at, 1, command))
}
