import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { NodeId } from '../../src/raft/types.ts'
import { BODY, encodeFrame, encodeMessages } from '../../src/transport/frame.ts'
import { greetingFrame, refusalFrame } from '../../src/transport/handshake.ts'
import {
  FilePeerIdentities,
  MemoryPeerIdentities,
  type PeerIdentities,
} from '../../src/transport/peer-identities.ts'
import type { TcpTransportOptions } from '../../src/transport/tcp-transport.ts'
import {
  append,
  heartbeat,
  membersAt,
  node0,
  node1,
  node2,
  QUICK,
  Recorder,
  tcp,
  until,
} from './harness.ts'
import { freePorts, identity, raw, started } from './tcp-harness.ts'
import { transportContract } from './transport.contract.ts'

t.test('tcp transport keeps the contract', async t => {
  transportContract(t, async () => {
    const ports = await freePorts()
    return { transport: id => tcp(id, ports).transport }
  })
})

t.test('a handshake is refused in words, on both sides', async t => {
  const cases: readonly [string, Partial<TcpTransportOptions>, NodeId, RegExp][] = [
    [
      'another cluster',
      { identity: identity(node0, { clusterId: 'other' }) },
      node0,
      /node0 belongs to cluster other, node1 to another$/,
    ],
    ['an unknown id', { identity: identity('node9' as NodeId) }, node0, /node9 is not a member/],
    [
      'its own id',
      { identity: identity(node1) },
      node0,
      /another agent goes by the id of this node/,
    ],
  ]
  for (const [name, options] of cases) {
    t.test(name, async t => {
      const expected = cases.find(row => row[0] === name)?.[3] ?? /never/
      const ports = await freePorts()
      const port = ports.get(node1) ?? 0
      const b = await started(t, node1, ports)
      const a = await started(t, node0, new Map(), { ...options, listen: '127.0.0.1:0' })
      a.transport.setMembership({ members: membersAt(new Map([[node2, port]])), open: false })
      await until(() => expected.test(a.error(node2)), `the dialler knows: ${a.error(node2)}`)
      t.match(b.lines.join('\n'), expected)
      t.equal(a.connected(node2), false)
      a.transport.send([heartbeat(node0, node2, 1)])
      await until(() => a.recorder.unreachable.length === 1, 'reported')
      t.same(b.recorder.messages, [])
    })
  }
})

t.test('who dials the wrong node is told so', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  const crossed = new Map(ports).set(node2, ports.get(node1) ?? 0)
  const a = await started(t, node0, crossed)
  await until(() => a.error(node2) !== '', 'refused')
  t.match(a.error(node2), /node0 looks for node2 at the address of node1/)
  await until(() => a.connected(node1), 'the right one is reached')
  t.equal(
    b.lines.filter(line => line.includes('looks for')).length,
    1,
    'logged once, although dialled often',
  )
})

t.test('a dialler checks who answers, its cluster and its version', async t => {
  const answers: readonly [Uint8Array, RegExp][] = [
    [greetingFrame('welcome', identity(node2), node0), /at 127.0.0.1:\d+ is node2/],
    [greetingFrame('welcome', identity(node1, { clusterId: 'x' }), node0), /cluster x/],
    [greetingFrame('welcome', identity(node1), node2), /looks for node2/],
    [greetingFrame('hello', identity(node1), node0), /hello in answer/],
    [refusalFrame('no\x1b[31m room'), /refused: no\?\[31m room/],
    [otherVersion(BODY.welcome), /protocol version 9/],
    [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /no answer of a raft-nginx agent/],
  ]
  for (const [answer, expected] of answers) {
    const ports = await freePorts()
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.end(answer)
    })
    server.listen(ports.get(node1), '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const a = await started(t, node0, ports)
    await until(() => expected.test(a.error(node1)), `${expected}, was: ${a.error(node1)}`)
    t.equal(a.connected(node1), false, `${expected}`)
  }
})

function otherVersion(code: number): Uint8Array {
  return encodeFrame(body => {
    body.u8(code).raw(Buffer.from('RAFT-NGX')).u8(9).raw(new Uint8Array(30))
  })
}

t.test('strangers are closed, and the log stays small (attack rows 31, 45)', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  const port = ports.get(node1) ?? 0
  const noise = new Uint8Array(1_000_000).map((_, at) => (at * 7919) >>> 3)
  const hello = greetingFrame('hello', identity(node0), node1)
  const strangers = await Promise.all([
    raw(t, port, `GET /raft HTTP/1.1\r\nHost: ${'x'.repeat(5_000)}\r\n\r\n`),
    raw(t, port, Buffer.from('16030100f8010000f40303', 'hex')),
    raw(t, port, 'SSH-2.0-OpenSSH_9.2\r\n'),
    raw(t, port, noise),
    raw(t, port, new Uint8Array(100_000)),
    raw(t, port),
    raw(t, port, hello.subarray(0, 20)),
    raw(
      t,
      port,
      encodeFrame(body => body.u8(BODY.ping)),
    ),
    raw(t, port, encodeMessages([heartbeat(node0, node1, 1)]).frames[0] ?? ''),
    raw(t, port, Buffer.concat([hello, new Uint8Array(3)])),
    raw(t, port, otherVersion(BODY.hello)),
    raw(t, port, greetingFrame('welcome', identity(node0), node1)),
  ])
  await until(() => strangers.every(stranger => stranger.closed()), 'all are closed')
  t.same(b.recorder.messages, [])
  t.equal(b.lines.filter(line => line.startsWith('closed')).length <= 2, true, 'a line a second')
  t.equal(Math.max(...b.lines.map(line => line.length)) <= 1_000, true)
  t.match(strangers[10]?.text(), /protocol version 9 is not spoken by node1/)
  t.equal(strangers[9]?.text(), '', 'no welcome for who goes on before it')
  const a = await started(t, node0, ports)
  await until(() => a.connected(node1), 'peers are still let in')
})

t.test('a crowd of silent strangers does not keep a peer out', async t => {
  const ports = await freePorts()
  const limits = { ...QUICK, strangersMax: 4, handshakeMs: 60_000 }
  await started(t, node1, ports, { limits })
  const crowd: { closed: () => boolean }[] = []
  for (let at = 0; at < 12; at++) crowd.push(await raw(t, ports.get(node1) ?? 0))
  await until(() => crowd.filter(one => one.closed()).length >= 8, 'the oldest are closed')
  const a = await started(t, node0, ports)
  await until(() => a.connected(node1), 'the peer is let in')
})

t.test('a malformed frame closes its connection and nothing of it arrives', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  const hello = greetingFrame('hello', identity(node0), node1)
  const [good] = encodeMessages([heartbeat(node0, node1, 1)]).frames
  if (good === undefined) throw new Error('a frame')
  const flipped = Uint8Array.from(good)
  flipped[12] = (flipped[12] ?? 0) ^ 1
  const notANumber = encodeFrame(body => {
    body.u8(BODY.messages).u8(6).f64(Number.NaN).f64(1)
  })
  const announced = new Uint8Array(8).fill(0xff)
  const unknown = encodeFrame(body => body.u8(99))
  for (const bad of [flipped, notANumber, announced, unknown]) {
    const peer = await raw(t, ports.get(node1) ?? 0, hello)
    await until(() => peer.text().includes('node1-1'), 'welcomed')
    peer.socket.write(Buffer.concat([good, bad, good]))
    await until(() => peer.closed(), 'closed')
  }
  t.same(b.recorder.messages, [])
  const peer = await raw(t, ports.get(node1) ?? 0, hello)
  await until(() => peer.text().includes('node1-1'), 'welcomed')
  for (const byte of good) peer.socket.write(Uint8Array.of(byte))
  await until(() => b.recorder.messages.length === 1, 'a good one arrives, byte by byte')
  const newer = await raw(t, ports.get(node1) ?? 0, hello)
  await until(() => peer.closed() && newer.text() !== '', 'a newer connection replaces the older')
})

/** A peer that greets and then does what `then` says. */
async function fakePeer(t: Test, port: number, then: (socket: Socket) => void) {
  const sockets: Socket[] = []
  const server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(greetingFrame('welcome', identity(node1), node0))
      then(socket)
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return sockets
}

t.test('a peer that stops reading costs bounded memory and is reported once', async t => {
  const ports = await freePorts()
  await fakePeer(t, ports.get(node1) ?? 0, socket => socket.pause())
  const queueBytesMax = 2 * 1024 * 1024
  const limits = { ...QUICK, queueBytesMax, pingMs: 60_000 }
  const a = await started(t, node0, ports, { limits })
  await until(() => a.connected(node1), 'connected')
  const payload = new Uint8Array(256 * 1024)
  const before = process.memoryUsage().arrayBuffers
  for (let at = 0; at < 400; at++) {
    a.transport.send([append(node0, node1, payload)])
    await new Promise(resolve => setImmediate(resolve))
  }
  const grown = process.memoryUsage().arrayBuffers - before
  t.equal(grown < 30 * 1024 * 1024, true, `100 MiB sent, ${grown} bytes kept`)
  t.same(a.recorder.unreachable, [node1])
  t.equal(a.connected(node1), true)
})

t.test('a peer that falls silent is given up and dialled again', async t => {
  const ports = await freePorts()
  const sockets = await fakePeer(t, ports.get(node1) ?? 0, socket => socket.resume())
  const a = await started(t, node0, ports)
  await until(() => sockets.length >= 2, 'dialled again')
  t.match(a.lines.join('\n'), /silent for 0.2 s/)
  t.same(a.recorder.unreachable.length >= 1, true)
})

t.test('an idle link lives on pings', async t => {
  const ports = await freePorts()
  const limits = { ...QUICK, pingMs: 20 }
  const a = await started(t, node0, ports, { limits })
  const b = await started(t, node1, ports, { limits })
  await until(() => a.connected(node1) && b.connected(node0), 'connected')
  const end = performance.now() + 400
  await until(() => performance.now() > end, 'twenty pings')
  t.same([a.recorder.unreachable, b.recorder.unreachable], [[], []])
  t.equal(a.connected(node1) && b.connected(node0), true)
})

t.test('B17 a wiped peer is refused by both sides, also after a restart', async t => {
  const directory = t.testdir()
  const ports = await freePorts()
  const identities = await FilePeerIdentities.open(directory)
  const first = await started(t, node0, ports, { identities })
  const peer = await started(t, node1, ports)
  await until(() => first.connected(node1) && peer.connected(node0), 'connected')
  await peer.transport.close()
  await first.transport.close()

  const reopened = await FilePeerIdentities.open(directory)
  const again = await started(t, node0, ports, { identities: reopened })
  const wiped = await started(t, node1, ports, {
    identity: identity(node1, { incarnation: 'wiped' }),
  })
  const sentence =
    /node1 was known with another data directory \(incarnation now wiped\).*may not vote/
  await until(() => sentence.test(again.error(node1)), 'refused by who dials')
  await until(() => sentence.test(wiped.error(node0)), 'refused by who accepts')
  wiped.transport.send([heartbeat(node1, node0, 1)])
  await until(() => wiped.recorder.unreachable.length === 1, 'dropped')
  await wiped.transport.close()
  const restored = await started(t, node1, ports)
  await until(() => again.connected(node1) && restored.connected(node0), 'restored, it is let in')
  t.same(again.recorder.messages, [])
})

t.test('a cluster in memory takes a restarted node for a stranger', async t => {
  const identities = new MemoryPeerIdentities()
  t.equal(await identities.verify(node1, 'a'), null)
  t.equal(await identities.verify(node1, 'a'), null)
  t.match(await identities.verify(node1, 'b'), /node1 was known as another process/)
})

t.test('an identity that cannot be recorded lets nobody in, until it can', async t => {
  const ports = await freePorts()
  let broken = true
  const memory = new MemoryPeerIdentities()
  const identities: PeerIdentities = {
    record: async () => {},
    keepOnly: async () => {},
    refusal: () => '',
    verify: async (peer: NodeId, incarnation: string) => {
      if (broken) throw new Error('record node1', { cause: new Error('disk full') })
      return memory.verify(peer, incarnation)
    },
  }
  const a = await started(t, node0, ports, { identities })
  const b = await started(t, node1, ports)
  await until(() => a.error(node1) === 'record node1: disk full', 'the dialler waits')
  await until(() => b.error(node0) === 'refused: record node1: disk full', 'and refuses')
  broken = false
  await until(() => a.connected(node1) && b.connected(node0), 'let in')
})

t.test('a taken port is said in words', async t => {
  const ports = await freePorts()
  await started(t, node0, ports)
  const second = tcp(node0, ports)
  t.teardown(() => second.transport.close())
  await t.rejects(second.transport.start(new Recorder()), {
    message: /cannot listen for peers on 127.0.0.1:\d+: the address is in use.*EADDRINUSE/,
  })
  t.throws(() => tcp(node0, ports, { listen: 'nowhere' }), /not host:port: nowhere/)
})

t.test('a peer that dials in is dialled back at once', async t => {
  const ports = await freePorts()
  const limits = { ...QUICK, backoffMinMs: 60_000, backoffMaxMs: 60_000 }
  const a = await started(t, node0, ports, { limits })
  await until(() => a.error(node1).includes('refused'), 'not there yet')
  await started(t, node1, ports)
  await until(() => a.connected(node1), 'reached long before its back-off ended')
})
