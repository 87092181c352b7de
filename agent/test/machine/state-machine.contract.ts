import { deepStrictEqual } from 'node:assert'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Test } from 'tap'
import {
  type Applied,
  type CommittedEntry,
  Divergence,
  Gap,
  type Result,
  type StateMachine,
} from '../../src/machine/state-machine.ts'
import { asNodeId, ORIGIN } from '../../src/raft/types.ts'
import { accountTests, plain } from './account.contract.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'
import { snapshotContract } from './snapshot.contract.ts'

const NEW: Applied = {
  ...ORIGIN,
  configuration: new Uint8Array(0),
  chainHash: new Uint8Array(32),
}

/** The plain account of what a machine should do. */
export interface Model {
  apply(entry: CommittedEntry): Result
  /** The whole state, as `Subject.dump` gives it. */
  dump(): unknown
}

/** One implementation under test. */
export interface Subject<Query, Answer> {
  readonly name: string
  /** What was applied is there again after close and open. */
  readonly durable: boolean
  /** A machine on `directory`, which exists: the same state for the same directory, if durable. */
  readonly create: (directory: string) => StateMachine<Query, Answer>
  readonly model: () => Model
  readonly dump: (machine: StateMachine<Query, Answer>) => Promise<unknown>
  /** Commands of every kind, refused ones among them. */
  readonly commands: fc.Arbitrary<Uint8Array>
  /** A command that changes what `dump` shows, whatever was there. */
  readonly visible: Uint8Array
  /** A command that is refused, whatever was there. */
  readonly refused: Uint8Array
}

interface Step {
  readonly command: Uint8Array | null
  readonly newTerm: boolean
  /** What follows the entry: it is the last of a batch unless that is nothing. */
  readonly event: 'nothing' | 'apply' | 'checkpoint' | 'reopen'
  /** How many old entries its batch begins with. */
  readonly replayed: number
}

function arbitrarySteps(commands: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Step[]> {
  const step = fc.record({
    command: fc.option(commands, { freq: 9 }),
    newTerm: fc.nat(5).map(n => n === 0),
    event: fc.constantFrom(
      'nothing',
      'nothing',
      'nothing',
      'apply',
      'apply',
      'checkpoint',
      'reopen',
    ),
    replayed: fc.oneof(fc.constant(0), fc.nat(5)),
  })
  return fc.array(step as fc.Arbitrary<Step>, { maxLength: 40 })
}

/** The suite that every StateMachine passes. */
export function stateMachineContract<Query, Answer>(
  t: Test,
  subject: Subject<Query, Answer>,
): void {
  t.test(`contract of StateMachine: ${subject.name}`, async t => {
    modelTest(t, subject)
    positionTests(t, subject)
    accountTests(t, subject)
    lifeTests(t, subject)
    snapshotContract(t, subject)
  })
}

/** A machine beside its model; both get the same entries, the machine in batches. */
class Pair<Query, Answer> {
  readonly #subject: Subject<Query, Answer>
  readonly #directory: string
  readonly #model: Model
  readonly #log: CommittedEntry[] = []
  readonly #expected: Result[] = []
  #machine: StateMachine<Query, Answer>
  #term = 1
  #applied = 0

  constructor(subject: Subject<Query, Answer>, directory: string) {
    this.#subject = subject
    this.#directory = directory
    this.#model = subject.model()
    this.#machine = subject.create(directory)
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#machine.open(IDENTITY)
    for (const step of steps) {
      if (step.newTerm) this.#term += 1
      const next = entry(this.#log.length + 1, this.#term, step.command)
      this.#log.push(next)
      this.#expected.push(this.#model.apply(next))
      if (step.event !== 'nothing') await this.#applyBatch(step.replayed)
      if (step.event === 'checkpoint') await this.#machine.checkpoint()
      if (step.event === 'reopen' && this.#subject.durable) await this.#reopen()
    }
    await this.#applyBatch(0)
    await this.#machine.close()
  }

  async #applyBatch(replayed: number): Promise<void> {
    const first = Math.max(0, this.#applied - replayed)
    const results = await this.#machine.apply(this.#log.slice(first), NONE)
    const skipped = new Array<null>(this.#applied - first).fill(null)
    deepStrictEqual(results, [...skipped, ...this.#expected.slice(this.#applied)], 'results')
    this.#applied = this.#log.length
    await this.#compare()
  }

  async #reopen(): Promise<void> {
    await this.#machine.close()
    this.#machine = this.#subject.create(this.#directory)
    const { index, term } = await this.#machine.open(IDENTITY)
    deepStrictEqual({ index, term }, this.#log.at(-1)?.position, 'position')
    await this.#compare()
  }

  async #compare(): Promise<void> {
    const state = await this.#subject.dump(this.#machine)
    deepStrictEqual(state, this.#model.dump(), 'state')
  }
}

function modelTest<Query, Answer>(t: Test, subject: Subject<Query, Answer>): void {
  t.test('equals its model, wherever batches begin and end, with replays between', async t => {
    const parent = t.testdir()
    let runs = 0
    const property = fc.asyncProperty(arbitrarySteps(subject.commands), async steps => {
      const directory = join(parent, `${runs++}`)
      mkdirSync(directory)
      await new Pair(subject, directory).run(steps)
    })
    await fc.assert(property, { numRuns: 40, seed: drawSeed(t) })
  })
}

function positionTests<Query, Answer>(t: Test, subject: Subject<Query, Answer>): void {
  const { visible, refused } = subject
  const command = visible
  /** Two entries applied: (1, term 1) and (2, term 3). */
  const opened = async (t: Test) => {
    const machine = subject.create(t.testdir())
    t.teardown(() => machine.close())
    t.strictSame(plain(await machine.open(IDENTITY)), plain(NEW), 'a new machine is at the origin')
    await machine.apply([entry(1, 1, null), entry(2, 3, null)], NONE)
    return machine
  }

  for (const [story, error, batch] of [
    ['an applied index with another term', Divergence, [entry(2, 2, command)]],
    ['an applied index with a later term', Divergence, [entry(2, 4, command)]],
    ['the same, new entries behind it', Divergence, [entry(2, 4, command), entry(3, 4, command)]],
    ['an older index, of a later term than the applied', Divergence, [entry(1, 4, command)]],
    ['a hole after the applied position', Gap, [entry(4, 3, command)]],
    ['a hole within the batch', Gap, [entry(3, 3, command), entry(5, 3, command)]],
    ['a hole among the replayed', Gap, [entry(1, 1, command), entry(3, 3, command)]],
    ['an index twice in a batch', Gap, [entry(3, 3, command), entry(3, 3, command)]],
    ['an index that falls', Gap, [entry(3, 3, command), entry(2, 3, command)]],
    ['a term below the applied one', Gap, [entry(3, 2, command)]],
    ['a term that falls within the batch', Gap, [entry(3, 4, command), entry(4, 3, command)]],
  ] as const) {
    t.test(`${story} is a ${error.name}, with nothing applied`, async t => {
      const machine = await opened(t)
      const before = await subject.dump(machine)
      await t.rejects(async () => machine.apply(batch, NONE), error)
      t.strictSame(await subject.dump(machine), before)
      const results = await machine.apply([entry(2, 3, null), entry(3, 3, null)], NONE)
      t.strictSame(results, [null, { kind: 'done', value: null }])
    })
  }

  t.test('entries at or below the applied position are skipped', async t => {
    const machine = await opened(t)
    const before = await subject.dump(machine)
    t.strictSame(await machine.apply([], NONE), [])
    t.strictSame(await machine.apply([entry(1, 1, command), entry(2, 3, command)], NONE), [
      null,
      null,
    ])
    t.strictSame(await subject.dump(machine), before)
  })

  t.test('a refused command and a no-op advance the position and change nothing', async t => {
    const machine = await opened(t)
    const before = await subject.dump(machine)
    const [result] = await machine.apply([entry(3, 3, refused)], NONE)
    t.match(result, { kind: 'rejected', code: /^[A-Z_]+$/ })
    t.strictSame(await subject.dump(machine), before)
    t.strictSame(await machine.apply([entry(4, 3, null)], NONE), [{ kind: 'done', value: null }])
    t.strictSame(await machine.apply([entry(3, 3, refused), entry(4, 3, null)], NONE), [null, null])
    await machine.apply([entry(5, 3, command)], NONE)
    t.notSame(await subject.dump(machine), before)
  })
}

function lifeTests<Query, Answer>(t: Test, subject: Subject<Query, Answer>): void {
  const { visible, refused } = subject

  t.test(
    'checkpoints under load and reads, joined and cut short by close, lose nothing',
    async t => {
      const directory = t.testdir()
      const machine = subject.create(directory)
      const model = subject.model()
      await machine.open(IDENTITY)
      let index = 0
      const next = () => {
        const one = entry(++index, 1, visible)
        model.apply(one)
        return machine.apply([one], NONE)
      }
      await next()
      for (let round = 0; round < 5; round++) {
        let over = false
        const two = Promise.all([machine.checkpoint(), machine.checkpoint()]).then(() => {
          over = true
        })
        while (!over)
          await Promise.all([next(), next(), subject.dump(machine), new Promise(setImmediate)])
        await two
      }
      t.strictSame(await subject.dump(machine), model.dump())
      await next()
      const last = machine.checkpoint()
      await Promise.all([machine.close(), last])
      if (!subject.durable) return
      const again = subject.create(directory)
      t.strictSame((await again.open(IDENTITY)).index, index)
      t.strictSame(await subject.dump(again), model.dump())
      await again.close()
    },
  )

  t.test('used before open or after close, it throws', async t => {
    const machine = subject.create(t.testdir())
    await t.rejects(async () => machine.apply([entry(1, 1, visible)], NONE))
    await t.rejects(async () => machine.checkpoint())
    await machine.open(IDENTITY)
    await t.rejects(async () => machine.open(IDENTITY))
    await machine.close()
    await machine.close()
    await t.rejects(async () => machine.apply([entry(1, 1, visible)], NONE))
  })

  if (!subject.durable) return

  t.test('position and data come back together', async t => {
    const directory = t.testdir()
    const first = subject.create(directory)
    await first.open(IDENTITY)
    await first.apply([entry(1, 1, visible), entry(2, 7, refused)], NONE)
    const before = await subject.dump(first)
    await first.close()
    const second = subject.create(directory)
    t.match(await second.open(IDENTITY), { index: 2, term: 7 })
    t.strictSame(await subject.dump(second), before)
    await second.close()
  })

  t.test('files of another identity are refused, and stay as they are', async t => {
    const directory = t.testdir()
    const owner = subject.create(directory)
    await owner.open(IDENTITY)
    await owner.apply([entry(1, 1, visible)], NONE)
    await owner.close()
    for (const foreign of [
      { ...IDENTITY, clusterId: 'cluster-2' },
      { ...IDENTITY, nodeId: asNodeId('node1') },
      { ...IDENTITY, incarnation: 'second' },
    ]) {
      await t.rejects(async () => subject.create(directory).open(foreign), /belongs to/)
    }
    const again = subject.create(directory)
    t.match(await again.open(IDENTITY), { index: 1, term: 1 })
    await again.close()
  })

  t.test('the files have one owner', async t => {
    const directory = t.testdir()
    const owner = subject.create(directory)
    await owner.open(IDENTITY)
    await t.rejects(async () => subject.create(directory).open(IDENTITY), /in use/)
    await owner.close()
    const next = subject.create(directory)
    await next.open(IDENTITY)
    await next.close()
  })
}
