/** What each end trusts changes while they talk: a new connection takes the place of the old one, and nothing is lost. */

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { NodeId } from '../../src/raft/types.ts'
import type { Credentials } from '../../src/tls/credentials.ts'
import { BODY, encodeMessages, FrameReader, RENEW } from '../../src/transport/frame.ts'
import { greetingFrame } from '../../src/transport/handshake.ts'
import type { TlsWire } from '../../src/transport/tls-wire.ts'
import { PLAIN_WIRE, type Wire } from '../../src/transport/wire.ts'
import { append, heartbeat, node0, node1, QUICK, texts, until } from './harness.ts'
import { freePorts, identity, raw, started } from './tcp-harness.ts'
import { authority, certificates, issue, rawTls, wireOf } from './tls-harness.ts'

type Certificates = Extract<Credentials, { kind: 'certificates' }>

const [old, next] = [await authority(), await authority()]
const own = new Map<NodeId, { readonly old: Credentials; readonly next: Credentials }>()
/** A node has its new pair, and both know both: step 2 of a rotation is done. */
const between = new Map<NodeId, Credentials>()
for (const id of [node0, node1]) {
  const [before, after] = [await issue(old, id), await issue(next, id)]
  own.set(id, { old: certificates(before, old, next), next: certificates(after, next) })
  between.set(id, certificates(after, old, next))
}

function pick(from: ReadonlyMap<NodeId, Credentials>, id: NodeId): Certificates {
  const found = from.get(id)
  if (found?.kind !== 'certificates') throw new Error(`no certificate for ${id}`)
  return found
}

function pairOf(id: NodeId): { readonly old: Credentials; readonly next: Credentials } {
  const pair = own.get(id)
  if (pair === undefined) throw new Error(`no certificate for ${id}`)
  return pair
}

/** Two nodes whose connections were opened with certificates of the old CA. */
async function pair(t: Test, handshakeMs = 5_000) {
  const ports = await freePorts()
  const limits = {
    ...QUICK,
    pingMs: 1_000,
    handshakeMs,
    backoffMinMs: 60_000,
    backoffMaxMs: 60_000,
  }
  const node = async (id: NodeId) => {
    const wire = wireOf(id, pairOf(id).old)
    return { ...(await started(t, id, ports, { wire, limits })), wire, id }
  }
  const [a, b] = [await node(node0), await node(node1)]
  await until(() => a.connected(node1) && b.connected(node0), 'connected')
  for (const { wire, id } of [a, b]) wire.replace(pick(between, id))
  return { a, b, port: ports.get(node1) ?? 0 }
}

const trustOnlyNext = ({ wire, id }: { readonly wire: TlsWire; readonly id: NodeId }) =>
  wire.replace(pairOf(id).next)

for (const who of ['the dialler', 'the side that accepts', 'each'] as const) {
  t.test(`${who} no longer trusts the old CA: all arrives, in the order sent`, async t => {
    const { a, b } = await pair(t)
    const met = [a.recorder.met.length, b.recorder.met.length]
    const sent = Array.from({ length: 600 }, (_, at) => heartbeat(node0, node1, at))
    const large = append(node0, node1, new Uint8Array(200_000).fill(7))
    for (const [at, message] of sent.entries()) {
      a.transport.send(at % 20 === 0 ? [large, message] : [message])
      if (at === 100 && who !== 'the side that accepts') trustOnlyNext(a)
      if (at === 100 && who !== 'the dialler') trustOnlyNext(b)
      await new Promise(resolve => setImmediate(resolve))
    }
    const ends = [a.recorder, b.recorder]
    await until(() => ends.every(({ met: now }, at) => now.length > (met[at] ?? 0)), 'opened anew')
    const last = heartbeat(node0, node1, 1_000)
    a.transport.send([last])
    const all = [...sent.flatMap((each, at) => (at % 20 === 0 ? [large, each] : [each])), last]
    await until(() => b.recorder.messages.length >= all.length, 'all arrived')
    t.strictSame(texts(b.recorder.messages), texts(all))
    t.strictSame([a.recorder.unreachable, b.recorder.unreachable], [[], []], 'no break is seen')
    t.equal(a.connected(node1) && b.connected(node0), true)
    await a.transport.close()
    await b.transport.close()
  })
}

t.test('a peer that has nothing better to show is given up at once by who dialled', async t => {
  const { a, b } = await pair(t)
  b.wire.replace(pairOf(node1).old)
  trustOnlyNext(a)
  await until(() => /of no CA that is known here/.test(a.error(node1)), a.error(node1))
  t.strictSame([a.connected(node1), a.recorder.unreachable], [false, [node1]])
  await until(() => !b.connected(node0), 'in both directions')
})

/** Greets as node0 with a certificate of the old CA, and takes no hint. */
async function stubborn(t: Test, port: number) {
  const { cert, key } = pairOf(node0).old as Certificates
  const peer = rawTls(t, port, { cert, key })
  const reader = new FrameReader(4_096)
  const bodies: number[] = []
  peer.socket.on('data', chunk => {
    for (const body of reader.push(chunk)) bodies.push(body[0] ?? -1)
  })
  peer.socket.on('secureConnect', () =>
    peer.socket.write(greetingFrame('hello', identity(node0), node1)),
  )
  await until(() => bodies.includes(BODY.welcome), 'welcomed')
  return { ...peer, bodies }
}

t.test('who does not open a new connection is dismissed when a greeting would be', async t => {
  const ports = await freePorts()
  const wire = wireOf(node1, pairOf(node1).old)
  const limits = { ...QUICK, pingMs: 60_000, handshakeMs: 300 }
  const b = await started(t, node1, ports, { wire, limits })
  const peer = await stubborn(t, ports.get(node1) ?? 0)
  trustOnlyNext({ wire, id: node1 })
  await until(() => peer.bodies.includes(BODY.renew), 'told')
  await until(() => peer.closed(), 'dismissed')
  t.match(b.lines.join('\n'), /node0 \(127\.0\.0\.1:\d+\).*: not replaced and ended within 0\.3 s/)
})

t.test('a handshake that had begun before the old CA went is too late', async t => {
  const { b, port } = await pair(t)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let knocked = false
  socket.once('connect', () => {
    knocked = true
  })
  await until(() => knocked, 'connected')
  // The other end has accepted it as soon as it has answered one that came later.
  const later = rawTls(t, port, {})
  await until(() => later.closed(), 'a later one was seen')
  trustOnlyNext(b)
  const { cert, key } = pairOf(node0).old as Certificates
  const late = rawTls(t, port, { cert, key, socket })
  late.socket.on('secureConnect', () =>
    late.socket.write(greetingFrame('hello', identity(node0), node1)),
  )
  await until(() => late.closed(), 'closed')
  t.equal(late.text(), '', 'it was not welcomed')
})

t.test('HTTP between agents that the old CA let in ends when a greeting would have to', async t => {
  const ports = await freePorts()
  const wire = wireOf(node1, pairOf(node1).old)
  const sockets: Socket[] = []
  await started(t, node1, ports, {
    wire,
    limits: { ...QUICK, handshakeMs: 300 },
    onHttp: socket => {
      sockets.push(socket)
      socket.resume()
    },
  })
  const port = ports.get(node1) ?? 0
  const dial = async (credentials: Credentials) => {
    const before = sockets.length
    const to = { host: '127.0.0.1', port }
    const socket = wireOf(node0, credentials).dial({ to, peer: null, language: 'http' }, () => {})
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await until(() => sockets.length > before, 'let in')
  }
  await dial(pairOf(node0).old)
  await dial(pick(between, node0))
  trustOnlyNext({ wire, id: node1 })
  await until(() => sockets[0]?.destroyed === true, 'ended')
  t.equal(sockets[1]?.destroyed, false, 'and no other')
})

/** Plain TCP, and what it trusts is the test's to say. */
function fickle() {
  let trusted = true
  const changes = new Set<() => void>()
  const wire: Wire = {
    ...PLAIN_WIRE,
    trusts: () => trusted,
    onChange: callback => {
      changes.add(callback)
      return () => changes.delete(callback)
    },
  }
  const distrust = () => {
    trusted = false
    for (const change of changes) change()
  }
  return { wire, distrust }
}

/** node0 dialling a node1 that is made by hand: `onSocket` is given each connection whose hello has come. */
async function handMade(t: Test, onSocket: (socket: Socket, number: number) => void) {
  const ports = await freePorts()
  const sockets: Socket[] = []
  const server = createServer(socket => {
    sockets.push(socket)
    const number = sockets.length
    socket.on('error', () => {})
    socket.once('data', () => onSocket(socket, number))
  })
  server.listen(ports.get(node1), '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { wire, distrust } = fickle()
  const limits = { ...QUICK, pingMs: 60_000, backoffMinMs: 60_000, backoffMaxMs: 60_000 }
  const a = await started(t, node0, ports, { wire, limits })
  await until(() => a.connected(node1), 'connected')
  return { a, sockets, distrust }
}

const WELCOME = greetingFrame('welcome', identity(node1), node0)

t.test('an older program closes the connection instead: the new one serves at once', async t => {
  const { a, sockets, distrust } = await handMade(t, (socket, number) => {
    if (number === 2) return
    socket.write(WELCOME)
    socket.on('data', () => socket.destroy())
  })
  distrust()
  await until(() => a.recorder.unreachable.length > 0, 'the older one broke')
  await until(() => sockets.length === 2, 'the newer one is there')
  t.equal(a.connected(node1), false)
  sockets[1]?.write(WELCOME)
  await until(() => a.connected(node1), 'connected without waiting to dial again')
  t.strictSame([a.recorder.unreachable, a.recorder.gone], [[node1], []])
})

t.test('without its successor a connection ends too', async t => {
  const { a, sockets, distrust } = await handMade(t, (socket, number) => {
    if (number === 2) socket.destroy()
    else socket.resume().write(WELCOME)
  })
  distrust()
  await until(() => sockets[0]?.destroyed === true, 'ended')
  t.match(a.error(node1), /closed/)
  t.strictSame(a.recorder.unreachable, [node1])
})

t.test('what was queued on the older connection still arrives', async t => {
  let bytes = 0
  const { a, sockets, distrust } = await handMade(t, (socket, number) => {
    socket.write(WELCOME)
    if (number === 1) socket.pause()
  })
  const payload = new Uint8Array(8 * 1024 * 1024)
  a.transport.send([append(node0, node1, payload)])
  await new Promise(resolve => setImmediate(resolve))
  const met = a.recorder.met.length
  distrust()
  await until(() => a.recorder.met.length > met, 'opened anew')
  let ended = false
  sockets[0]?.on('data', chunk => {
    bytes += chunk.length
  })
  sockets[0]?.on('end', () => {
    ended = true
  })
  sockets[0]?.resume()
  await until(() => ended, 'read to its end')
  t.ok(bytes > payload.length, `${bytes} bytes`)
  t.strictSame(a.recorder.unreachable, [])
})

t.test('a newer connection is read after the older one', async t => {
  const ports = await freePorts()
  const port = ports.get(node1) ?? 0
  const b = await started(t, node1, ports, { limits: { ...QUICK, pingMs: 60_000 } })
  const greeted = async () => {
    const peer = await raw(t, port, greetingFrame('hello', identity(node0), node1))
    await until(() => peer.text().includes('node1-1'), 'welcomed')
    return peer
  }
  const frame = (commit: number) =>
    encodeMessages([heartbeat(node0, node1, commit)]).frames[0] ?? WELCOME
  const first = await greeted()
  first.socket.write(Buffer.concat([frame(1), RENEW]))
  await until(() => b.recorder.messages.length === 1, 'arrived')
  const second = await greeted()
  second.socket.write(Buffer.concat([frame(3), RENEW]))
  const third = await greeted()
  third.socket.write(frame(4))
  const noise = await raw(t, port, 'noise of a stranger, which ends its connection')
  await until(() => noise.closed(), 'what came before was seen')
  t.equal(b.recorder.messages.length, 1, 'none is read too early')
  first.socket.end(frame(2))
  await until(() => b.recorder.messages.length >= 3, 'the second one is read')
  second.socket.end()
  await until(() => b.recorder.messages.length >= 4, 'the third one is read')
  const expected = [1, 2, 3, 4].map(commit => heartbeat(node0, node1, commit))
  t.strictSame(texts(b.recorder.messages), texts(expected))
})

t.test('a peer that replaces its connections without end has few at a time', async t => {
  const ports = await freePorts()
  const port = ports.get(node1) ?? 0
  const limits = { ...QUICK, pingMs: 60_000, handshakeMs: 60_000 }
  const b = await started(t, node1, ports, { limits })
  const peers: Awaited<ReturnType<typeof raw>>[] = []
  const greeted = async () => {
    const peer = await raw(t, port, greetingFrame('hello', identity(node0), node1))
    await until(() => peer.text().includes('node1-1'), 'welcomed')
    peers.push(peer)
    return peer
  }
  const first = await greeted()
  const heard = encodeMessages([heartbeat(node0, node1, 1)]).frames[0] ?? WELCOME
  first.socket.write(Buffer.concat([heard, RENEW]))
  await until(() => b.recorder.messages.length === 1, 'it is to be replaced')
  for (let at = 0; at < 20; at++) await greeted()
  const open = () => peers.filter(peer => !peer.closed())
  await until(() => open().length <= 5, 'the oldest are closed')
  t.equal(peers.at(-1)?.closed(), false)
})
