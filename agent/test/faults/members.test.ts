import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Field } from '../../../scripts/faults/mixed/field.ts'
import { addAndRemove } from '../../../scripts/faults/mixed/kinds/members.ts'

/** A field whose spare node could not leave at an earlier time. */
function fieldOf(dataDirectory: string, remove: () => Promise<void>) {
  const spare = { id: 'node3', dataDirectory }
  const told: string[] = []
  const field = {
    spare: 3,
    changing: false,
    free: [spare],
    agents: { leave: () => {}, cluster: { nodes: [spare], remove } },
    take: () => () => {},
    tell: (what: string) => void told.push(what),
  }
  return { field: field as unknown as Field, told }
}

t.test('the disk of a member that could not leave is kept until it has left', async t => {
  const directory = join(t.testdir(), 'data')
  mkdirSync(directory)
  let leaves = false
  const { field, told } = fieldOf(directory, async () => {
    if (!leaves) throw new Error('an election is under way')
  })
  const refused = await addAndRemove(field)
  t.equal(refused?.what, 'node3 goes')
  await refused?.heal()
  t.match(told, [/an election is under way/])
  t.ok(existsSync(directory), 'a majority may rely on what is there')
  leaves = true
  await (await addAndRemove(field))?.heal()
  t.notOk(existsSync(directory))
})
