import { deepStrictEqual } from 'node:assert'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Test } from 'tap'
import type { Applied, CommittedEntry } from '../../src/machine/state-machine.ts'
import { ORIGIN } from '../../src/raft/types.ts'
import { drawSeed, entry, IDENTITY, NONE } from './entries.ts'
import type { Subject } from './state-machine.contract.ts'

/** Position, configuration and chain: what goes with the data. */
export function accountTests<Query, Answer>(t: Test, subject: Subject<Query, Answer>): void {
  const { visible, refused } = subject
  const started = async (t: Test, ...batches: readonly (readonly CommittedEntry[])[]) => {
    const directory = t.testdir()
    const machine = subject.create(directory)
    t.teardown(() => machine.close())
    await machine.open(IDENTITY)
    for (const batch of batches) await machine.apply(batch, NONE)
    return { machine, directory }
  }

  t.test(
    'the configuration is stored with the position, and stays when all is skipped',
    async t => {
      const { machine, directory } = await started(t)
      const [first, second] = [Uint8Array.of(1), Uint8Array.of(2, 0)]
      await machine.apply([entry(1, 1, visible)], first)
      await machine.apply([entry(2, 1, null)], second)
      await machine.apply([entry(1, 1, visible), entry(2, 1, null)], first)
      const applied = machine.applied()
      t.match(applied, { index: 2, term: 1 })
      t.strictSame([...applied.configuration], [...second])
      if (!subject.durable) return
      await machine.close()
      const again = subject.create(directory)
      t.strictSame(plain(await again.open(IDENTITY)), plain(applied))
      t.strictSame(plain(again.applied()), plain(applied))
      await again.close()
    },
  )

  t.test(
    'two machines that applied the same have one chain hash, whatever the batches',
    async t => {
      const parent = t.testdir()
      let runs = 0
      const made = async () => {
        const directory = join(parent, `${runs++}`)
        mkdirSync(directory)
        const machine = subject.create(directory)
        await machine.open(IDENTITY)
        return machine
      }
      const part = fc.tuple(fc.option(subject.commands), fc.nat(3))
      const property = fc.asyncProperty(fc.array(part, { maxLength: 150 }), async parts => {
        const entries = parts.map(([command], at) => entry(at + 1, 1, command))
        const [whole, cut] = [await made(), await made()]
        await whole.apply(entries, NONE)
        let from = 0
        for (const [at, [, border]] of parts.entries()) {
          if (border > 0) continue
          await cut.apply(entries.slice(from, at + 1), NONE)
          from = at + 1
        }
        await cut.apply(entries.slice(from), NONE)
        deepStrictEqual(plain(cut.applied()), plain(whole.applied()))
        await whole.close()
        await cut.close()
      })
      await fc.assert(property, { numRuns: 20, seed: drawSeed(t) })
    },
  )

  t.test('the chain hash differs with one command, one position, or one result', async t => {
    const base = [entry(1, 1, visible), entry(2, 1, null)]
    const hashes = [(await started(t, base)).machine.applied().chainHash]
    for (const [name, other] of Object.entries({
      'another command': [entry(1, 1, visible), entry(2, 1, refused)],
      'an empty command in place of none': [entry(1, 1, visible), entry(2, 1, new Uint8Array(0))],
      'another term': [entry(1, 1, visible), entry(2, 2, null)],
      'one entry less': base.slice(0, 1),
    })) {
      await t.test(name, async t => {
        const { machine } = await started(t, other)
        for (const hash of hashes) t.notSame(machine.applied().chainHash, hash)
      })
    }
  })

  t.test(
    'what is durable is never beyond what is applied, and no less after a checkpoint',
    async t => {
      const { machine, directory } = await started(t)
      t.strictSame(machine.durablePosition(), ORIGIN)
      await machine.apply([entry(1, 1, visible)], NONE)
      t.strictSame(machine.durablePosition(), ORIGIN)
      const durable = await machine.checkpoint()
      t.strictSame(machine.durablePosition(), durable)
      t.strictSame(durable.index, subject.durable ? 1 : 0)
      await machine.apply([entry(2, 1, visible)], NONE)
      t.strictSame(machine.durablePosition(), durable)
      if (!subject.durable) return
      await machine.close()
      const again = subject.create(directory)
      await again.open(IDENTITY)
      t.match(again.durablePosition(), { index: 2, term: 1 }, 'what was read back is made durable')
      await again.close()
    },
  )
}

/** Whether a machine answers with a Buffer or a Uint8Array does not matter. */
export function plain(applied: Applied): unknown {
  const { configuration, chainHash, ...position } = applied
  return { ...position, configuration: [...configuration], chainHash: [...chainHash] }
}
