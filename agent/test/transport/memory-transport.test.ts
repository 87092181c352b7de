import t from 'tap'
import type { NodeId } from '../../src/raft/types.ts'
import { MemoryNetwork } from '../../src/transport/memory-transport.ts'
import { contactOf, heartbeat, membersAt, node0, node1, node2, Recorder, until } from './harness.ts'
import { transportContract } from './transport.contract.ts'

const members = membersAt(new Map([node0, node1, node2].map(id => [id, 1])))

function end(network: MemoryNetwork, id: NodeId) {
  const transport = network.transport({ ...contactOf(id), incarnation: `${id}-1` })
  transport.setMembership({ members, open: false })
  return transport
}

t.test('memory transport keeps the contract', async t => {
  transportContract(t, async () => {
    const network = new MemoryNetwork()
    return { transport: id => end(network, id) }
  })
})

t.test('a blocked link loses messages in its direction only, until it heals', async t => {
  const network = new MemoryNetwork()
  const [a, b] = [new Recorder(), new Recorder()]
  const [left, right] = [end(network, node0), end(network, node1)]
  await left.start(a)
  await right.start(b)
  network.block(node0, node1)
  left.send([heartbeat(node0, node1, 1)])
  right.send([heartbeat(node1, node0, 2)])
  await until(() => a.messages.length === 1 && a.unreachable.length === 1, 'lost one way')
  t.equal(b.messages.length, 0)
  network.heal()
  left.send([heartbeat(node0, node1, 3)])
  await until(() => b.messages.length === 1, 'healed')
  network.isolate(node0)
  left.send([heartbeat(node0, node1, 4)])
  right.send([heartbeat(node1, node0, 5)])
  await until(() => a.unreachable.length === 2 && b.unreachable.length === 1, 'isolated')
  network.unblock(node0, node1)
  left.send([heartbeat(node0, node1, 6)])
  await until(() => b.messages.length === 2, 'one direction again')
  t.same(b.messages[1], heartbeat(node0, node1, 6))
})
