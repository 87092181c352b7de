import { existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Field } from '../../../scripts/faults/mixed/field.ts'
import { addAndRemove, leave, repairMembers } from '../../../scripts/faults/mixed/kinds/members.ts'
import { DEFAULT_SHAPE, type NodePlace, placeOf } from '../../../scripts/lib/layout.ts'
import { Chance } from '../simulation/chance.ts'

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

/** Whose agents are all there, and whose cluster has these nodes and does this. */
function fieldWith(
  agents: { readonly cluster?: object; readonly leader?: () => Promise<NodePlace> },
  nodes: readonly NodePlace[],
) {
  const told: string[] = []
  const cluster = { nodes, ...agents.cluster }
  const parts = {
    agents: { running: nodes, leave: () => {}, look: async () => {}, ...agents, cluster },
    ...{ ledger: null, chance: new Chance(1, 'field'), hosts: null, disks: null, clocks: null },
    ...{ certificates: null, settings: {}, spare: 2, tell: (what: string) => void told.push(what) },
  }
  return { field: new Field(parts as unknown as Field), told }
}

t.test(
  'who is a guest leaves once nothing else is being done to it: its nginx would be started anew',
  async t => {
    const directory = t.testdir()
    const { nodes } = placeOf(directory, { ...DEFAULT_SHAPE, nodes: 3 })
    const guest = nodes.at(-1)
    if (guest === undefined) throw new Error('there is none')
    const removed: string[] = []
    const remove = async ({ id }: NodePlace) => void removed.push(id)
    const { field } = fieldWith({ cluster: { remove } }, nodes)
    const [heal, another] = [field.take(guest), field.take(guest)]
    const left = leave(field, guest)
    await turn()
    heal()
    await turn()
    t.strictSame(removed, [], 'two things were being done to it')
    another()
    await left
    t.strictSame(removed, [guest.id])
    t.strictSame(field.free, nodes, 'and nothing is any more')
  },
)

t.test('who begins to leave while the leader is asked for is no victim', async t => {
  const { nodes } = placeOf(t.testdir(), { ...DEFAULT_SHAPE, nodes: 1 })
  const [node] = nodes
  if (node === undefined) throw new Error('there is none')
  const { field } = fieldWith({}, nodes)
  const release = field.take(node)
  const asked = fieldWith(
    {
      leader: async () => {
        asked.take(node)
        return node
      },
    },
    nodes,
  ).field
  t.equal(await asked.victim(1), null)
  t.equal(await field.victim(0), null)
  release()
  t.equal(await field.victim(0), node)
})

/** Nodes whose agent says this of itself. */
async function nodesSaying(t: Test, status: Record<string, unknown>): Promise<NodePlace[]> {
  const server = createServer((_, response) => response.end(JSON.stringify(status)))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { nodes } = placeOf(t.testdir(), { ...DEFAULT_SHAPE, nodes: 1 })
  return nodes.map(node => ({ ...node, httpPort: port }))
}

t.test('in the end it is told what keeps the members from being whole', async t => {
  const follower = { role: 'follower', term: 3, ready: false, notReady: 'no leader', members: [] }
  const none = fieldWith({}, await nodesSaying(t, follower)).field
  await t.rejects(repairMembers(none, 0), {
    message: /after the last fault was healed: nobody leads: node0 follower in term 3, no leader$/,
  })
  const leader = { role: 'leader', term: 3, ready: true, members: [{ id: 'node0' }] }
  const nodes = await nodesSaying(t, leader)
  const add = async () => {
    throw new Error('it waits to be added')
  }
  const place = placeOf(t.testdir(), { ...DEFAULT_SHAPE, nodes: 2, left: [1] })
  const { field, told } = fieldWith({ cluster: { add, place } }, nodes)
  await t.rejects(repairMembers(field, 0), {
    message: /node1 does not come back: it waits to be added$/,
  })
  t.match(told, ['given up: node1 comes back: it waits to be added'])
})
