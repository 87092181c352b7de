import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { LANE_WINDOW, type Lane } from '../../src/transport/lane.ts'
import { DATA_BYTES_MAX, FRAME, LaneReader, laneFrame } from '../../src/transport/lane-frame.ts'
import { LANES_MAX, Lanes } from '../../src/transport/lanes.ts'
import { ManualClock } from '../node/manual-clock.ts'
import { until } from './harness.ts'

/** Both ends of one connection. */
async function sockets(t: Test): Promise<readonly [Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  const near = connect(address.port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  return [near, far]
}

async function ends(t: Test) {
  const [near, far] = await sockets(t)
  const clock = new ManualClock()
  const arrived: Lane[] = []
  let renewals = 0
  const dialler = new Lanes(near, { clock, onLane: null, onRenew: () => renewals++ })
  const server = new Lanes(far, { clock, onLane: lane => arrived.push(lane) })
  const open = () => {
    const lane = dialler.open()
    if (lane === null) throw new Error('no lane')
    return lane
  }
  /** What was sent as its first bytes arrives at the other end. */
  const pair = async () => {
    const lane = open()
    lane.write('!')
    await until(() => arrived.at(-1)?.id === lane.id, 'arrived')
    return { lane, other: arrived.at(-1) as Lane }
  }
  return { near, far, clock, arrived, dialler, server, open, pair, renewals: () => renewals }
}

/** An iterator would destroy it. */
async function all(lane: Lane): Promise<Buffer> {
  const chunks: Buffer[] = []
  lane.on('data', chunk => chunks.push(chunk))
  await once(lane, 'end')
  return Buffer.concat(chunks)
}

type Framed =
  | { readonly lane: number; readonly data: Uint8Array }
  | { readonly lane: number; readonly kind: number; readonly count: number }

function bytesOf(each: Framed): Buffer {
  if (!('data' in each)) return laneFrame(each.kind, each.lane, each.count)
  return Buffer.concat([laneFrame(FRAME.data, each.lane, each.data.length), each.data])
}

/** One word a frame; of data that follows on data of the same lane, one. */
function words(frames: readonly Framed[]): readonly string[] {
  const said: string[] = []
  for (const each of frames) {
    const isData = 'data' in each
    const word = `${each.lane} ${isData ? 'data' : `${each.kind}:${each.count}`} `
    const hex = isData ? Buffer.from(each.data).toString('hex') : ''
    const before = said.at(-1)
    if (isData && before?.startsWith(word)) said[said.length - 1] = before + hex
    else said.push(word + hex)
  }
  return said
}

t.test('frames are read as they were written, however they are cut', async t => {
  const frame = fc.oneof(
    fc.record({
      lane: fc.nat(0xff_ff_ff_ff),
      data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    }),
    fc.record({
      lane: fc.nat(0xff_ff_ff_ff),
      kind: fc.integer({ min: FRAME.end, max: FRAME.open }),
      count: fc.nat(0xff_ff_ff),
    }),
  )
  const law = fc.property(fc.array(frame), fc.array(fc.nat(50)), (frames, cuts) => {
    const bytes = Buffer.concat(frames.map(bytesOf))
    const read: Framed[] = []
    const reader = new LaneReader()
    const sink = {
      onData: (lane: number, data: Buffer) => read.push({ lane, data }),
      onFrame: (kind: number, lane: number, count: number) => read.push({ kind, lane, count }),
    }
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      const size = (cuts[turn % Math.max(1, cuts.length)] ?? 7) + 1
      reader.read(bytes.subarray(at, at + size), sink)
      at += size
    }
    t.strictSame(words(read), words(frames))
  })
  fc.assert(law, { numRuns: 300 })
})

t.test('what is no frame is refused', async t => {
  const sink = { onData: () => {}, onFrame: () => {} }
  for (const bytes of [
    laneFrame(0, 1, 0),
    laneFrame(FRAME.open + 1, 1, 0),
    laneFrame(FRAME.data, 1, DATA_BYTES_MAX + 1),
    Buffer.from('POST /key HTTP/1.1\r\n'),
  ]) {
    t.throws(() => new LaneReader().read(bytes, sink), { name: 'DecodeError' })
  }
  const { far, near } = await ends(t)
  near.write('GET / HTTP/1.1\r\n\r\n')
  await once(far, 'close')
})

t.test('an end that asks for ever more answers and takes none is left', async t => {
  const { far, near } = await ends(t)
  near.pause()
  const frames = (from: number) =>
    Buffer.concat(Array.from({ length: 10_000 }, (_, at) => laneFrame(FRAME.open, from + at, 0)))
  let kept = 0
  for (let from = LANES_MAX; !far.destroyed; from += 10_000) {
    near.write(frames(from))
    await until(() => near.writableLength === 0 || far.destroyed, 'taken')
    kept = Math.max(kept, far.writableLength)
  }
  t.ok(kept < 8_000_000, `${kept} bytes`)
})

t.test('many lanes, each with its own bytes, larger than any buffer, both ways', async t => {
  const { arrived, open } = await ends(t)
  const lanes = Array.from({ length: 20 }, open)
  const sent = lanes.map((_, at) => Buffer.alloc(1_000_000 + at, at))
  for (const [at, lane] of lanes.entries()) lane.end(sent[at])
  const back = lanes.map(all)
  await until(() => arrived.length === lanes.length, 'all arrived')
  for (const other of arrived) other.pipe(other)
  for (const [at, bytes] of (await Promise.all(back)).entries()) {
    t.ok(sent[at]?.equals(bytes), `lane ${at}`)
  }
})

t.test('a reader that takes nothing holds up its own lane only, and little is kept', async t => {
  const { pair } = await ends(t)
  const slow = await pair()
  const quick = await pair()
  slow.lane.write(Buffer.alloc(4_000_000))
  let came = 0
  quick.other.on('data', chunk => {
    came += chunk.length
  })
  for (let at = 1; at <= 50; at++) {
    quick.lane.write('x')
    await until(() => came === at + 1, 'the other goes on')
  }
  await until(() => slow.other.readableLength >= LANE_WINDOW, 'what may come has come')
  t.ok(slow.other.readableLength <= LANE_WINDOW + 1)
  t.ok(slow.lane.writableNeedDrain, 'its sender is told to wait')
  slow.other.resume()
  await once(slow.lane, 'drain')
})

t.test('an end is one of a direction; a reset, of both; what was sent before it comes', async t => {
  const { pair, dialler, server } = await ends(t)
  const { lane, other } = await pair()
  lane.end('last')
  const whole = all(other)
  t.equal(String(await whole), '!last')
  t.notOk(lane.destroyed, 'the other direction goes on')
  other.write('answer')
  other.destroySoon()
  t.equal(String(await all(lane)), 'answer')
  const cut = await pair()
  cut.other.destroy()
  await once(cut.lane, 'close')
  const left = await pair()
  left.lane.destroy()
  await once(left.other, 'close')
  t.strictSame([dialler.size, server.size], [0, 0], 'nothing is left of them')
})

t.test('with its connection all lanes end; without a word of the other end so does it', async t => {
  const { pair, far } = await ends(t)
  const { lane } = await pair()
  far.destroy()
  await once(lane, 'close')
  const [near] = await sockets(t)
  const clock = new ManualClock()
  const lanes = new Lanes(near, { clock, onLane: null })
  const alone = lanes.open()
  clock.advance(6_000)
  t.notOk(near.destroyed)
  clock.advance(1_000)
  t.ok(near.destroyed)
  await until(() => alone?.destroyed === true, 'and its lanes')
  t.equal(clock.pending, 0, 'no timer is left')
})

t.test('ends that hear each other stay', async t => {
  const { pair, clock, near } = await ends(t)
  await pair()
  for (let at = 0; at < 20; at++) {
    clock.advance(1_000)
    const [lane] = [await pair()]
    lane.lane.destroy()
  }
  t.notOk(near.destroyed)
})

t.test('more than was allowed, or too many lanes, costs whoever sends it', async t => {
  const [near, far] = await sockets(t)
  const clock = new ManualClock()
  const arrived: Lane[] = []
  const lanes = new Lanes(far, { clock, onLane: lane => arrived.push(lane) })
  const piece = Buffer.concat([laneFrame(FRAME.data, 1, 60_000), Buffer.alloc(60_000)])
  near.write(laneFrame(FRAME.open, 1, 0))
  for (let at = 0; at < 5; at++) near.write(piece)
  await until(() => arrived[0]?.destroyed === true, 'it is cut')
  const refused: number[] = []
  const reader = new LaneReader()
  const onFrame = (kind: number, id: number) => kind === FRAME.reset && refused.push(id)
  near.on('data', chunk => reader.read(chunk, { onData: () => {}, onFrame }))
  const ids = Array.from({ length: LANES_MAX + 3 }, (_, at) => at + 2)
  near.write(Buffer.concat(ids.map(id => laneFrame(FRAME.open, id, 0))))
  await until(() => refused.length >= 4, 'some are refused')
  t.strictSame(refused, [1, ...ids.slice(-3)])
  t.equal(lanes.size, LANES_MAX)
})

t.test('the side that accepts opens none, and a lane that is gone does not come again', async t => {
  const { pair, far, near, arrived } = await ends(t)
  const { lane } = await pair()
  lane.destroy()
  await until(() => arrived[0]?.destroyed === true, 'gone')
  near.write(laneFrame(FRAME.open, lane.id, 0))
  near.write(Buffer.concat([laneFrame(FRAME.data, lane.id, 1), Buffer.alloc(1)]))
  far.write(laneFrame(FRAME.open, 77, 0))
  await pair()
  t.equal(arrived.length, 2)
})

t.test('a wish for a new connection retires the lanes of both ends', async t => {
  const { pair, server, renewals } = await ends(t)
  const { other } = await pair()
  let told = 0
  other.on('retire', () => told++)
  server.renew()
  t.ok(other.isRetired)
  t.equal(told, 1)
  await until(() => renewals() === 1, 'asked')
})
