/** What every machine has to hold, one promise a check. */

import { deepStrictEqual, rejects, strictEqual } from 'node:assert'
import { readFileSync, writeFileSync } from 'node:fs'
import { Prng } from '../../../src/lib/prng.ts'
import type { CommittedEntry } from '../../../src/machine/state-machine.ts'
import { asLogIndex, asTerm } from '../../../src/raft/types.ts'
import { appliedText, applyAll, batchesOf, configurationAt, textOf, wholeOf } from './scenario.ts'
import { type Instance, identityOf, type Subject, within } from './subject.ts'

export interface Setting {
  readonly subject: Subject
  /** a directory of this check's own */
  readonly directory: string
  readonly log: readonly CommittedEntry[]
  readonly seed: number
}

export interface Check {
  readonly promise: string
  /** `left out`: it does not concern this kind of machine. Rejects where it is broken. */
  run(setting: Setting): Promise<unknown>
}

const BATCH_MOST = 9

async function opened({ subject, directory }: Setting, name: string): Promise<Instance> {
  const instance = subject.create(within(directory, name))
  await instance.machine.open(identityOf(name))
  return instance
}

async function singly(setting: Setting, name = 'singly'): Promise<Instance> {
  const instance = await opened(setting, name)
  await applyAll(instance, batchesOf(setting.log, new Prng(0), 1))
  return instance
}

/** What `log` comes to, applied entry by entry and without interruption. */
export async function expectation(setting: Setting): Promise<string> {
  const instance = await singly(setting, 'expectation')
  const whole = await wholeOf(instance)
  await instance.machine.close()
  return whole
}

const batches: Check = {
  promise: 'where a batch begins and ends does not matter',
  async run(setting) {
    const one = await singly(setting)
    const other = await opened(setting, 'batched')
    await applyAll(other, batchesOf(setting.log, new Prng(setting.seed), BATCH_MOST))
    strictEqual(await wholeOf(other), await wholeOf(one))
    await Promise.all([one.machine.close(), other.machine.close()])
  },
}

const replay: Check = {
  promise: 'closed and opened, with old entries replayed, it goes on as if nothing had been',
  async run(setting) {
    const { log, seed, subject, directory } = setting
    const prng = new Prng(seed)
    const place = within(directory, 'replayed')
    let instance = subject.create(place)
    await instance.machine.open(identityOf('replayed'))
    for (const batch of batchesOf(log, prng, BATCH_MOST)) {
      const end = batch.at(-1)?.position.index ?? 0
      const replayed = prng.between(0, 6)
      const first = Math.max(0, end - batch.length - replayed)
      const entries = log.slice(first, end)
      const results = await instance.machine.apply(entries, configurationAt(entries))
      const skipped = results.filter(result => result === null).length
      strictEqual(skipped, end - batch.length - first, 'what was applied before is skipped')
      if (prng.between(0, 3) === 0) await instance.machine.checkpoint()
      // Once at least, and early: what is forgotten shows in what follows.
      if (end < BATCH_MOST || (end > 2 * BATCH_MOST && prng.between(0, 3) > 0)) continue
      const before = await wholeOf(instance)
      await instance.machine.close()
      instance = subject.create(place)
      const applied = await instance.machine.open(identityOf('replayed'))
      await catchUp(instance, log.slice(0, end), applied.index)
      strictEqual(await wholeOf(instance), before, 'after opening it again')
    }
    const whole = await wholeOf(instance)
    await instance.machine.close()
    strictEqual(whole, await expectation(setting))
  },
}

/** A machine in memory comes back with its newest file, and the log gives it the rest. */
export async function catchUp(
  instance: Instance,
  log: readonly CommittedEntry[],
  applied: number,
): Promise<void> {
  const rest = log.slice(applied)
  if (rest.length > 0) await instance.machine.apply(rest, configurationAt(log))
}

const snapshots: Check = {
  promise: 'a snapshot is fixed when it is taken, and another node goes on from it as from its own',
  async run(setting) {
    const { log, directory } = setting
    const half = Math.floor(log.length / 2)
    const one = await opened(setting, 'one')
    await applyAll(one, batchesOf(log.slice(0, half), new Prng(1), BATCH_MOST))
    const taken = await wholeOf(one)
    const view = await one.machine.snapshot()
    await applyAll(one, batchesOf(log.slice(half), new Prng(2), BATCH_MOST))
    const file = within(directory, 'snapshot')
    await view.writeTo(file)
    view.release()
    const other = await opened(setting, 'other')
    // Of its own past nothing may be left.
    await applyAll(other, batchesOf(log.slice(0, Math.floor(half / 2)), new Prng(3), BATCH_MOST))
    const inspected = await other.machine.inspect(file)
    strictEqual(appliedText(inspected), appliedText(view.applied), 'what inspect finds')
    const restored = await other.machine.restore(file)
    strictEqual(appliedText(restored), appliedText(view.applied), 'what restore finds')
    strictEqual(await wholeOf(other), taken, 'after the restore')
    await applyAll(other, batchesOf(log.slice(half), new Prng(4), BATCH_MOST))
    strictEqual(await wholeOf(other), await wholeOf(one), 'after the same entries')
    await Promise.all([one.machine.close(), other.machine.close()])
  },
}

const damage: Check = {
  promise: 'a snapshot with one changed byte is refused',
  async run(setting) {
    const one = await singly(setting)
    // A file of its own format is judged by the checksum of the transfer, before `inspect`.
    if (one.keepsFiles) {
      await one.machine.close()
      return 'left out'
    }
    const view = await one.machine.snapshot()
    const file = within(setting.directory, 'snapshot')
    await view.writeTo(file)
    view.release()
    const bytes = readFileSync(file)
    const prng = new Prng(setting.seed)
    const other = await opened(setting, 'other')
    for (let round = 0; round < 8; round++) {
      const changed = Buffer.from(bytes)
      const at = prng.between(0, bytes.length)
      changed[at] = (changed[at] ?? 0) ^ (1 << prng.between(0, 8))
      const damaged = within(setting.directory, `damaged-${round}`)
      writeFileSync(damaged, changed)
      await rejects(async () => other.machine.inspect(damaged), Error, `byte ${at}`)
    }
    return Promise.all([one.machine.close(), other.machine.close()])
  },
}

const guards: Check = {
  promise: 'a hole in the log, or another history, is refused and changes nothing',
  async run(setting) {
    const instance = await singly(setting)
    const before = await wholeOf(instance)
    const last = setting.log.at(-1)
    if (last === undefined) return
    const { index, term } = last.position
    const at = (index: number, term: number): CommittedEntry => {
      return { ...last, position: { index: asLogIndex(index), term: asTerm(term) } }
    }
    const { machine } = instance
    await rejects(async () => machine.apply([at(index + 2, term)], last0), { name: 'Gap' })
    await rejects(async () => machine.apply([at(index + 1, term - 1)], last0), { name: 'Gap' })
    await rejects(async () => machine.apply([at(index, term + 1)], last0), { name: 'Divergence' })
    deepStrictEqual(await machine.apply([last], last0), [null], 'an applied entry is skipped')
    strictEqual(await wholeOf(instance), before)
    await machine.close()
  },
}
const last0 = new Uint8Array(0)

const refusals: Check = {
  promise: 'a command that is refused, and a query, change nothing',
  async run(setting) {
    const instance = await opened(setting, 'refusing')
    for (const entry of setting.log) {
      const before = await instance.digest()
      strictEqual(await instance.digest(), before, 'asked twice')
      const [result] = await instance.machine.apply([entry], last0)
      if (result?.kind !== 'rejected') continue
      strictEqual(await instance.digest(), before, `${textOf(result)} at ${entry.position.index}`)
    }
    await instance.machine.close()
  },
}

const sessions: Check = {
  promise: 'a request that comes twice takes effect once and gets its first answer again',
  async run(setting) {
    const instance = await opened(setting, 'twice')
    let index = 0
    for (const [at, sample] of setting.subject.data.samples.entries()) {
      const idempotency = { key: `once-${at}`, requestHash: Buffer.alloc(32, at) }
      const next = (request = idempotency): CommittedEntry => {
        const position = { index: asLogIndex(++index), term: asTerm(1) }
        return { position, command: sample, timeMs: 1_700_000_000_000, idempotency: request }
      }
      const [first] = await instance.machine.apply([next()], last0)
      const after = await instance.digest()
      const [again] = await instance.machine.apply([next()], last0)
      strictEqual(textOf(again ?? null), textOf(first ?? null), 'the first answer')
      const reused = { ...idempotency, requestHash: Buffer.alloc(32, 255) }
      const [other] = await instance.machine.apply([next(reused)], last0)
      strictEqual(textOf(other ?? null), 'rejected KEY_REUSED')
      strictEqual(await instance.digest(), after, 'no second effect')
    }
    await instance.machine.close()
  },
}

export const CHECKS: readonly Check[] = [
  batches,
  replay,
  snapshots,
  damage,
  guards,
  refusals,
  sessions,
]
