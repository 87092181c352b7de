import type { Test } from 'tap'
import type { NodeId } from '../../src/raft/types.ts'
import {
  CHUNK_BYTES_MAX,
  type ChunkAnswer,
  NOTICE_BYTES_MAX,
  type Transport,
} from '../../src/transport/transport.ts'
import { append, chunk, heartbeat, node0, node1, node2, Recorder, texts, until } from './harness.ts'

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

  t.test('chunks are answered one by one, and messages overtake a slow answer', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    const b = await run(t, network, node1)
    await linked(a, node1)
    await linked(b, node0)
    const piece = new Uint8Array(CHUNK_BYTES_MAX).map((_, at) => at * 31)
    t.same(await a.transport.sendChunk(node1, chunk(5, piece)), {
      kind: 'held',
      bytes: 5 + CHUNK_BYTES_MAX,
    })
    const [first] = b.recorder.chunks
    t.same([first?.from, first?.chunk.offset], [node0, 5])
    t.same(first?.chunk.header, chunk(5, piece).header)
    t.equal(Buffer.compare(first?.chunk.bytes ?? new Uint8Array(0), piece), 0)

    let answer: (answer: ChunkAnswer) => void = () => {}
    b.recorder.answer = () =>
      new Promise(resolve => {
        answer = resolve
      })
    const slow = a.transport.sendChunk(node1, chunk(0, piece))
    await t.rejects(a.transport.sendChunk(node1, chunk(0, piece)), /another chunk is under way/)
    await until(() => b.recorder.chunks.length === 2, 'arrived')
    a.transport.send([heartbeat(node0, node1, 1)])
    await until(() => b.recorder.messages.length === 1, 'a heartbeat overtakes the answer')
    answer({ kind: 'complete' })
    t.same(await slow, { kind: 'complete' })
    const why = 'disk full'
    b.recorder.answer = async () => ({ kind: 'refused', why })
    t.same(await a.transport.sendChunk(node1, chunk(0, new Uint8Array(0))), {
      kind: 'refused',
      why,
    })
    b.recorder.answer = () => Promise.reject(new Error('no room'))
    t.match(await a.transport.sendChunk(node1, chunk(0, piece)), {
      kind: 'refused',
      why: /no room/,
    })
    t.equal(b.recorder.chunks.length, 4, 'the one too many never arrived')
  })

  t.test('a chunk is rejected when its peer is not there, goes, or this end closes', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    const piece = chunk(0, new Uint8Array(10))
    await t.rejects(a.transport.sendChunk(node1, piece), /node1 is not connected/)
    const b = await run(t, network, node1)
    b.recorder.answer = () => new Promise(() => {})
    await linked(a, node1)
    const hanging = a.transport.sendChunk(node1, piece)
    await until(() => b.recorder.chunks.length === 1, 'arrived')
    await Promise.all([t.rejects(hanging, /node1/), b.transport.close()])

    const again = await run(t, network, node1)
    again.recorder.answer = () => new Promise(() => {})
    await until(() => {
      a.transport.send([heartbeat(node0, node1, 1)])
      return again.recorder.messages.length > 0
    }, 'back')
    const open = a.transport.sendChunk(node1, piece)
    await until(() => again.recorder.chunks.length === 1, 'arrived')
    await Promise.all([t.rejects(open, /node1/), a.transport.close()])
    await t.rejects(a.transport.sendChunk(node1, piece), /node1/)
  })

  t.test('notices arrive as they were sent, or not at all', async t => {
    const network = await make()
    const a = await run(t, network, node0)
    a.transport.notify(node1, Buffer.from('nobody is there'))
    await new Promise(resolve => setImmediate(resolve))
    const b = await run(t, network, node1)
    await linked(a, node1)
    a.transport.notify(node1, Buffer.from('one'))
    a.transport.notify(node1, new Uint8Array(NOTICE_BYTES_MAX).fill(0x61))
    a.transport.notify(node2, Buffer.from('nobody'))
    await until(() => b.recorder.notices.length === 2, 'both arrived')
    t.same(b.recorder.notices, ['node0: one', `node0: ${'a'.repeat(NOTICE_BYTES_MAX)}`])
    await b.transport.close()
    a.transport.notify(node1, Buffer.from('gone'))
    t.equal(b.recorder.notices.length, 2)
  })
}
