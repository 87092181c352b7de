import t from 'tap'
import type { TransferOutcome } from '../../src/node/outcome.ts'
import { SparingNode } from '../../src/node/sparing-node.ts'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import { MEMBERS, SimulatedNode } from '../http/simulated-node.ts'
import { ManualClock } from './manual-clock.ts'

/** Leads, has links to all others, and keeps who was asked to lead instead. */
class Asked extends SimulatedNode {
  readonly targets: (NodeId | null)[] = []
  linked = ['node1', 'node2']

  override async transfer(to: NodeId | null = null): Promise<TransferOutcome> {
    this.targets.push(to)
    return { kind: 'failed' }
  }

  override status() {
    const status = super.status()
    const [first] = status.links
    if (first === undefined) throw new Error('a link is shown')
    return { ...status, links: this.linked.map(id => ({ ...first, peer: asNodeId(id) })) }
  }
}

function spared() {
  const [node, clock, room] = [new Asked(), new ManualClock(), { isShort: false }]
  return { node, clock, room, sparing: new SparingNode(node, { clock, room }) }
}

t.test('a leader without room takes no write, and asks the others in turn to lead', async t => {
  const { node, clock, room, sparing } = spared()
  await sparing.look()
  t.strictSame(node.targets, [], 'there is room')
  room.isShort = true
  t.strictSame(await sparing.propose(Buffer.from('x')), { kind: 'no-room' })
  t.equal(node.proposals, 0)
  const looks = async (ms: number) => {
    clock.advance(ms)
    await sparing.look()
  }
  await looks(0)
  t.strictSame(node.targets, ['node1'])
  await looks(29_999)
  t.equal(node.targets.length, 1, 'no more than twice a minute')
  await looks(1)
  await looks(30_000)
  t.strictSame(node.targets, ['node1', 'node2', 'node1'])
  node.linked = ['node2']
  await looks(30_000)
  t.equal(node.targets.at(-1), 'node2', 'only who is there is asked')
  room.isShort = false
  await looks(30_000)
  t.equal(node.targets.length, 4)
})

t.test(
  'a follower says as ever who leads; edges and the only voter have nobody to ask',
  async t => {
    const { node, clock, room, sparing } = spared()
    room.isShort = true
    node.leader = 'node1'
    t.strictSame(await sparing.propose(Buffer.from('x')), { kind: 'not-leader', leader: 'node1' })
    await sparing.look()
    t.strictSame(node.targets, [])
    node.leader = 'node0'
    node.members = MEMBERS.map(member => ({
      ...member,
      role: member.id === 'node0' ? 'voter' : 'edge',
    }))
    await sparing.look()
    t.strictSame(node.targets, [])
    node.members = MEMBERS
    const end = sparing.start()
    clock.advance(500)
    t.strictSame(node.targets, ['node1'], 'it looks by itself')
    end()
    t.equal(clock.pending, 0)
  },
)

t.test('all else is the node itself', async t => {
  const { node, room, sparing } = spared()
  room.isShort = true
  t.strictSame(sparing.status(), node.status())
  t.strictSame(sparing.measures().campaigns, node.measures().campaigns)
  t.strictSame(await sparing.linearizable(1), await node.linearizable())
  const prefix = new Uint8Array(0)
  t.strictSame(
    await sparing.query({ kind: 'keys', prefix, separator: prefix }),
    await node.query({ kind: 'keys', prefix, separator: prefix }),
  )
  t.equal(await sparing.waitApplied(node.status().appliedIndex, 1), true)
  const change = { kind: 'remove', id: asNodeId('node2') } as const
  t.strictSame(await sparing.transfer(null), { kind: 'failed' })
  t.strictSame(await sparing.change(change), { kind: 'applied' })
  t.equal(node.changes.length, 1, 'members may change: a new one may have a larger disk')
})
