import fc from 'fast-check'
import t from 'tap'
import { ByteReader, ByteWriter, DecodeError } from '../../src/lib/bytes.ts'
import type { Message } from '../../src/raft/message.ts'
import { asTerm } from '../../src/raft/types.ts'
import { decodeMessage, encodeMessage, messageBytesMax } from '../../src/transport/codec.ts'
import {
  BODY,
  decodeMessages,
  encodeFrame,
  encodeMessages,
  FRAME_HEADER_BYTES,
  FrameReader,
} from '../../src/transport/frame.ts'
import { anyMessage, append, heartbeat, node0, node1, texts } from './harness.ts'

const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)
const direction = { from: node0, to: node1 }

function encode(message: Message): Uint8Array {
  const writer = new ByteWriter(1)
  encodeMessage(writer, message)
  return writer.view()
}

t.test('decode(encode(message)) is the message, within its size bound', async t => {
  fc.assert(
    fc.property(anyMessage, message => {
      const bytes = encode(message)
      const reader = new ByteReader(bytes)
      t.equal(bytes.length <= messageBytesMax(message), true, 'bound')
      t.same(decodeMessage(reader, direction), message)
      reader.end()
    }),
    { seed },
  )
})

/** What the core may rely on, whatever the bytes were. */
function isSound(message: Message): boolean {
  const counts: number[] = [message.term]
  let entriesFollow = true
  if (message.kind === 'append-entries') {
    let before: { index: number; term: number } = message.prev
    counts.push(message.commit, before.index, before.term)
    for (const entry of message.entries) {
      counts.push(entry.index, entry.term)
      entriesFollow &&= entry.index === before.index + 1 && entry.term >= before.term
      before = entry
    }
    entriesFollow &&= before.term <= message.term || message.entries.length === 0
  }
  if (message.kind === 'install-snapshot') {
    const { position, bytes } = message.header
    counts.push(position.index, position.term, bytes, message.term - position.term)
  }
  if (message.kind === 'request-vote-reply') counts.push(message.commit.index, message.commit.term)
  if (message.kind === 'request-vote') counts.push(message.last.index - message.commit.index)
  if (message.kind === 'request-vote') counts.push(message.last.index, message.last.term)
  if (message.kind === 'heartbeat-reply') counts.push(message.lacking)
  if (message.kind === 'append-entries-refusal') counts.push(message.hint.index, message.prevIndex)
  return entriesFollow && counts.every(value => Number.isSafeInteger(value) && value >= 0)
}

t.test('flipped, cut and inserted bytes give a DecodeError or a sound message', async () => {
  const damage = fc.record({
    message: anyMessage,
    flips: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { maxLength: 4 }),
    keep: fc.double({ min: 0, max: 1, noNaN: true }),
    more: fc.uint8Array({ maxLength: 12 }),
  })
  fc.assert(
    fc.property(damage, ({ message, flips, keep, more }) => {
      const whole = encode(message)
      const bytes = Uint8Array.from([...whole.subarray(0, Math.ceil(whole.length * keep)), ...more])
      for (const [at, mask] of flips) {
        const where = at % bytes.length
        bytes[where] = (bytes[where] ?? 0) ^ mask
      }
      try {
        return isSound(decodeMessage(new ByteReader(bytes), direction))
      } catch (error) {
        return error instanceof DecodeError
      }
    }),
    { seed, numRuns: 3_000 },
  )
})

t.test('terms and indexes outside of [0, 2^53) are refused (attack row 33)', async t => {
  for (const value of [2 ** 53, 2 ** 63, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const at of [1, 9]) {
      const bytes = encode(heartbeat(node0, node1, 7))
      new DataView(bytes.buffer, bytes.byteOffset).setFloat64(at, value, true)
      t.throws(() => decodeMessage(new ByteReader(bytes), direction), DecodeError, `${value}`)
    }
  }
})

t.test('entries that do not follow are refused', async t => {
  const message = append(node0, node1, new Uint8Array(3))
  const [entry] = message.entries
  if (entry === undefined) throw new Error('an entry')
  const refused = (change: Partial<typeof message>, words: RegExp) => {
    const bytes = encode({ ...message, ...change })
    t.throws(() => decodeMessage(new ByteReader(bytes), direction), { message: words })
  }
  refused({ entries: [{ ...entry, term: asTerm(1) }] }, /falling/)
  refused({ entries: [{ ...entry, term: asTerm(4) }] }, /after their message/)
  refused({ entries: [entry, entry] }, /gap/)
  refused({ entries: [{ ...entry, kind: 'no-op' }] }, /no-op/)
})

t.test('frames are found again however the stream is cut', async () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(fc.array(fc.array(anyMessage, { maxLength: 3 })), cuts, (turns, sizes) => {
      const stream = Buffer.concat(turns.flatMap(turn => encodeMessages(turn).frames))
      const reader = new FrameReader(1 << 20)
      const found: Message[] = []
      for (let at = 0, cut = 0; at < stream.length; cut++) {
        const end = at + (sizes[cut % sizes.length] ?? 1)
        for (const body of reader.push(Uint8Array.from(stream.subarray(at, end)))) {
          found.push(...decodeMessages(body, direction))
        }
        at = end
      }
      return reader.buffered === 0 && `${texts(found)}` === `${texts(turns.flat())}`
    }),
    { seed },
  )
})

t.test(
  'a turn that does not fit in one frame takes several; what fits in none is left out',
  async t => {
    const messages = Array.from({ length: 5 }, () => append(node0, node1, new Uint8Array(300)))
    const huge = append(node0, node1, new Uint8Array(2_000))
    const { frames, leftOut } = encodeMessages([...messages, huge], 1_000)
    t.equal(leftOut, 1)
    t.equal(frames.length, 3)
    const reader = new FrameReader(1_000)
    const bodies = frames.flatMap(frame => reader.push(frame))
    t.same(
      bodies.flatMap(body => decodeMessages(body, direction)),
      messages,
    )
  },
)

t.test('a length is judged before anything is kept for it; a checksum before the body', async t => {
  const header = (length: number) => {
    const bytes = new Uint8Array(FRAME_HEADER_BYTES)
    new DataView(bytes.buffer).setUint32(0, length, true)
    return bytes
  }
  for (const length of [0, 1_001, 2 ** 32 - 1]) {
    t.throws(() => new FrameReader(1_000).push(header(length)), DecodeError, `${length}`)
  }
  const frame = encodeFrame(body => body.u8(BODY.ping).raw(new Uint8Array(20)))
  for (let at = 4; at < frame.length; at++) {
    const bytes = Uint8Array.from(frame)
    bytes[at] = (bytes[at] ?? 0) ^ 0x10
    t.throws(() => new FrameReader(1_000).push(bytes), /checksum/, `byte ${at}`)
  }
})
