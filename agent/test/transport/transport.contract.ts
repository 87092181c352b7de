import type { Test } from 'tap'
import type { NodeId } from '../../src/raft/types.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { append, heartbeat, node0, node1, node2, Recorder, texts, until } from './harness.ts'

/** What an implementation shows to the suite: ends of one network. */
export interface Network {
  /** A new end, not started; after `close` of the former one, a restart of that node. */
  transport(id: NodeId): Transport
}

interface Running {
  readonly transport: Transport
  readonly recorder: Recorder
}

/** What every transport promises (transport.ts). */
export function transportContract(t: Test, make: () => Promise<Network>): void {
  const run = async (t: Test, network: Network, id: NodeId): Promise<Running> => {
    const running = { transport: network.transport(id), recorder: new Recorder() }
    t.teardown(() => running.transport.close())
    await running.transport.start(running.recorder)
    return running
  }
  const isLinked = ({ transport }: Running, peer: NodeId) =>
    transport.links().some(link => link.peer === peer && link.connected)
  const linked = (running: Running, peer: NodeId) =>
    until(() => isLinked(running, peer), `linked to ${peer}`)

  t.test('messages arrive whole, in the order sent, in both directions', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    const b = await run(t, network, node1)
    await linked(a, node1)
    await linked(b, node0)
    const there = Array.from({ length: 200 }, (_, at) => heartbeat(node0, node1, at))
    there.push(append(node0, node1, new Uint8Array(300_000).fill(7)), heartbeat(node0, node1, 999))
    const back = [append(node1, node0, new Uint8Array([1, 2, 3])), heartbeat(node1, node0, 5)]
    for (const message of there.slice(0, 50)) a.transport.send([message])
    a.transport.send(there.slice(50))
    b.transport.send(back)
    await until(() => b.recorder.messages.length >= there.length, 'arrived')
    await until(() => a.recorder.messages.length >= back.length, 'arrived')
    t.strictSame(texts(b.recorder.messages), texts(there))
    t.strictSame(texts(a.recorder.messages), texts(back))
    t.same([a.recorder.unreachable, b.recorder.unreachable], [[], []])
  })

  t.test('a peer that is not there is reported once, and never from inside send', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    for (let at = 0; at < 20; at++) {
      a.transport.send([heartbeat(node0, node1, at), heartbeat(node0, node2, at)])
      if (at === 0) t.same(a.recorder.unreachable, [])
      await new Promise(resolve => setImmediate(resolve))
    }
    await until(() => a.recorder.unreachable.length >= 2, 'reported')
    t.same(a.recorder.unreachable.toSorted(), [node1, node2])
    await until(() => a.transport.links().every(link => link.lastError !== null), 'says why')
  })

  t.test('a peer that restarts is reported once and reached again', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    const first = await run(t, network, node1)
    await linked(a, node1)
    await first.transport.close()
    await until(() => {
      a.transport.send([heartbeat(node0, node1, 1)])
      return a.recorder.unreachable.length > 0
    }, 'reported')
    for (let at = 0; at < 20; at++) {
      a.transport.send([heartbeat(node0, node1, at)])
      await new Promise(resolve => setImmediate(resolve))
    }
    t.same(a.recorder.unreachable, [node1])
    const second = await run(t, network, node1)
    await until(() => {
      a.transport.send([heartbeat(node0, node1, 2)])
      return second.recorder.messages.length > 0
    }, 'reached again')
    t.equal(isLinked(a, node1), true)
    t.same(a.recorder.unreachable, [node1])
  })

  t.test('nothing is delivered to or by a closed transport, and send stays harmless', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    const b = await run(t, network, node1)
    await linked(a, node1)
    b.transport.send([heartbeat(node1, node0, 1)])
    await b.transport.close()
    await b.transport.close()
    const { length } = b.recorder.messages
    b.transport.send([heartbeat(node1, node0, 2)])
    a.transport.send([heartbeat(node0, node1, 3)])
    await until(() => a.recorder.unreachable.length > 0, 'reported')
    t.equal(b.recorder.messages.length, length)
    t.equal(
      a.recorder.messages.some(message => message.kind === 'heartbeat' && message.commit === 2),
      false,
    )
  })
}
