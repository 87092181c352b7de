import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { DecodeError } from '../../src/lib/bytes.ts'
import { asLogIndex, asTerm } from '../../src/raft/types.ts'
import {
  answerFrame,
  chunkFrame,
  decodeAnswer,
  decodeChunk,
} from '../../src/transport/chunk-codec.ts'
import { BODY, encodeFrame, encodeMessages, FRAME_HEADER_BYTES } from '../../src/transport/frame.ts'
import { greetingFrame } from '../../src/transport/handshake.ts'
import {
  CHUNK_BYTES_MAX,
  NOTICE_BYTES_MAX,
  type SnapshotChunk,
} from '../../src/transport/transport.ts'
import { chunk, heartbeat, node0, node1, QUICK, until } from './harness.ts'
import { freePorts, identity, raw, started } from './tcp-harness.ts'

const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)

const body = (frame: Uint8Array) => frame.subarray(FRAME_HEADER_BYTES)
const count = fc.oneof(fc.nat(3), fc.maxSafeNat())

const anyChunk: fc.Arbitrary<SnapshotChunk> = fc
  .record({
    index: count,
    term: count,
    configuration: fc.uint8Array({ maxLength: 300 }),
    id: fc.stringMatching(/^[a-z0-9-]{1,64}$/),
    sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    offset: fc.nat(2 ** 40),
    rest: fc.nat(1000),
    bytes: fc.uint8Array({ maxLength: 500 }),
  })
  .map(({ index, term, configuration, id, sha256, offset, rest, bytes }) => ({
    header: {
      position: { index: asLogIndex(index || 1), term: asTerm(term || 1) },
      configuration,
      id,
      sha256,
      bytes: offset + bytes.length + rest || 1,
    },
    offset,
    bytes,
  }))

t.test('decode(encode(chunk)) is the chunk', async t => {
  fc.assert(
    fc.property(anyChunk, chunk => {
      t.same(decodeChunk(body(chunkFrame(chunk))), chunk)
    }),
    { seed },
  )
})

t.test('answers arrive as they were given, their words made harmless', async t => {
  for (const answer of [
    { kind: 'held', bytes: 2 ** 40 },
    { kind: 'complete' },
    { kind: 'refused', why: 'no room: 5 % left' },
  ] as const) {
    t.same(decodeAnswer(body(answerFrame(answer))), answer)
  }
  const loud = body(answerFrame({ kind: 'refused', why: `\x1b[31m${'x'.repeat(5_000)}` }))
  t.match(decodeAnswer(loud), { kind: 'refused', why: /^\?\[31mx{100,595}$/ })
  for (const bad of [[], [9], [1], [1, 0, 0], [2, 0]]) {
    t.throws(() => decodeAnswer(Uint8Array.of(BODY.chunkAnswer, ...bad)), DecodeError)
  }
})

t.test('flipped and cut bytes give a DecodeError or a sound chunk', async t => {
  const damage = fc.record({
    chunk: anyChunk,
    flips: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { maxLength: 4 }),
    keep: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(damage, ({ chunk, flips, keep }) => {
      const whole = body(chunkFrame(chunk))
      const bytes = whole.slice(0, Math.max(1, Math.ceil(whole.length * keep)))
      for (const [at, mask] of flips) {
        const where = at % bytes.length
        bytes[where] = (bytes[where] ?? 0) ^ mask
      }
      try {
        const { header, offset, bytes: piece } = decodeChunk(bytes)
        const counts = [header.bytes, offset, header.position.index, header.position.term]
        const sound = counts.every(value => Number.isSafeInteger(value) && value >= 0)
        t.ok(sound && offset + piece.length <= header.bytes && /^[0-9a-z-]+$/.test(header.id))
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
      }
    }),
    { seed },
  )
})

/** Chunks whose numbers contradict each other. */
const LIES: readonly SnapshotChunk[] = [
  chunk(1024 * 1024 - 9, new Uint8Array(10)),
  chunk(1024 * 1024 + 1, new Uint8Array(0)),
  chunk(2 ** 53 - 1, new Uint8Array(10), { bytes: 2 ** 53 - 1 }),
  chunk(0, new Uint8Array(CHUNK_BYTES_MAX + 1)),
  chunk(0, new Uint8Array(11), { bytes: 10 }),
  chunk(0, new Uint8Array(0), { bytes: 0 }),
  chunk(0, new Uint8Array(1), { id: '../kv.sqlite' }),
  chunk(0, new Uint8Array(1), { id: '' }),
  chunk(0, new Uint8Array(1), { sha256: 'z'.repeat(64) }),
  chunk(0, new Uint8Array(1), { configuration: new Uint8Array(70_000) }),
  chunk(0, new Uint8Array(1), { position: { index: asLogIndex(0), term: asTerm(0) } }),
]

t.test('a chunk that contradicts itself is refused', async t => {
  for (const lie of LIES) t.throws(() => decodeChunk(body(chunkFrame(lie))), DecodeError)
})

t.test('a malformed or hasty chunk closes its connection, and nothing of it arrives', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  b.recorder.answer = () => new Promise(() => {})
  const hello = greetingFrame('hello', identity(node0), node1)
  const good = chunkFrame(chunk(0, new Uint8Array(100)))
  const tooLong = encodeFrame(frame => {
    frame.u8(BODY.notice).raw(new Uint8Array(NOTICE_BYTES_MAX + 1))
  })
  for (const bad of [...LIES.map(chunkFrame), tooLong, Buffer.concat([good, good])]) {
    const peer = await raw(t, ports.get(node1) ?? 0, hello)
    await until(() => peer.text().includes('node1-1'), 'welcomed')
    peer.socket.write(bad)
    await until(() => peer.closed(), 'closed')
  }
  t.same([b.recorder.chunks, b.recorder.notices], [[], []])
  const hasty = await raw(t, ports.get(node1) ?? 0, hello)
  await until(() => hasty.text().includes('node1-1'), 'welcomed')
  hasty.socket.write(good)
  await until(() => b.recorder.chunks.length === 1, 'the first is taken')
  hasty.socket.write(good)
  await until(() => hasty.closed(), 'the second came before its answer')
  t.equal(b.recorder.chunks.length, 1)
})

t.test('who is not verified sends no chunks', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  const piece = chunkFrame(chunk(0, new Uint8Array(100)))
  const foreign = greetingFrame('hello', identity(node0, { clusterId: 'other' }), node1)
  const hello = greetingFrame('hello', identity(node0), node1)
  for (const bytes of [piece, Buffer.concat([foreign, piece]), Buffer.concat([hello, piece])]) {
    const stranger = await raw(t, ports.get(node1) ?? 0, bytes)
    await until(() => stranger.closed(), 'closed')
  }
  t.same(b.recorder.chunks, [])
})

t.test('an answer that nobody waits for breaks the connection', async t => {
  const ports = await freePorts()
  const sockets: Socket[] = []
  const server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.write(greetingFrame('welcome', identity(node1), node0)))
  })
  server.listen(ports.get(node1), '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const a = await started(t, node0, ports)
  await until(() => a.connected(node1), 'connected')
  sockets[0]?.write(answerFrame({ kind: 'complete' }))
  await until(() => a.lines.join().includes('an answer to no chunk'), 'given up')
})

t.test('a slow receiver is not silent, and heartbeats reach it', async t => {
  const ports = await freePorts()
  const a = await started(t, node0, ports)
  const b = await started(t, node1, ports)
  await until(() => a.connected(node1) && b.connected(node0), 'connected')
  const silentMs = (QUICK.pingMs ?? 0) * 5
  const busyUntil = performance.now() + 5 * silentMs
  b.recorder.answer = async () => {
    await until(() => performance.now() > busyUntil, 'inspected')
    return { kind: 'complete' }
  }
  const answer = a.transport.sendChunk(node1, chunk(0, new Uint8Array(CHUNK_BYTES_MAX)))
  a.transport.send([heartbeat(node0, node1, 1)])
  await until(() => b.recorder.messages.length === 1, 'the heartbeat arrives')
  t.same(await answer, { kind: 'complete' })
  t.same([a.recorder.unreachable, b.recorder.unreachable], [[], []])
})

t.test('bytes after a chunk are read as before', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  const peer = await raw(t, ports.get(node1) ?? 0, greetingFrame('hello', identity(node0), node1))
  await until(() => peer.text().includes('node1-1'), 'welcomed')
  const frames = [
    chunkFrame(chunk(0, new Uint8Array(100))),
    ...encodeMessages([heartbeat(node0, node1, 1)]).frames,
    encodeFrame(frame => frame.u8(BODY.notice).raw(Buffer.from('n'))),
  ]
  peer.socket.write(Buffer.concat(frames))
  await until(() => b.recorder.chunks.length === 1, 'arrived')
  t.same([b.recorder.messages.length, b.recorder.notices], [1, ['node0: n']])
})
