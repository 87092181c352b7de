import fc from 'fast-check'
import { ByteReader, ByteWriter, DecodeError } from '../../src/lib/bytes.ts'
import {
  answerFrame,
  chunkFrame,
  decodeAnswer,
  decodeChunk,
} from '../../src/transport/chunk-codec.ts'
import { decodeMessage, encodeMessage, messageBytesMax } from '../../src/transport/codec.ts'
import { encodeMessages, FRAME_HEADER_BYTES, FrameReader } from '../../src/transport/frame.ts'
import { decodeOpening, greetingFrame, refusalFrame } from '../../src/transport/handshake.ts'
import { anyMessage, chunk, contactOf, node0, node1, texts } from '../transport/harness.ts'
import type { Target } from './target.ts'

const BODY_BYTES_MAX = 1 << 20
const MESSAGES = 60
const direction = { from: node0, to: node1 }

/** What the agents' own port is sent. @param seed of the messages that are changed */
export function transportTargets(seed: number): readonly Target[] {
  const messages = fc.sample(anyMessage, { seed, numRuns: MESSAGES })
  const encoded = messages.map(message => {
    const writer = new ByteWriter(1)
    encodeMessage(writer, message)
    return Uint8Array.from(writer.view())
  })
  const greetings = (['hello', 'welcome'] as const).map(kind => {
    const self = { clusterId: 'test', nodeId: node0, incarnation: 'i', ...contactOf(node0) }
    return bodyOf(greetingFrame(kind, self, node1))
  })
  const refusals = [refusalFrame('why'), refusalFrame('why', { stranger: true })].map(bodyOf)
  const chunks = [
    chunkFrame(chunk(0, new Uint8Array(100))),
    chunkFrame(chunk(64, new Uint8Array(1))),
  ]
  const answers = [
    answerFrame({ kind: 'held', bytes: 7 }),
    answerFrame({ kind: 'complete' }),
    answerFrame({ kind: 'refused', why: 'because' }),
  ]
  const streams = [
    Buffer.concat(encodeMessages(messages).frames),
    ...encodeMessages(messages, 200).frames,
    ...chunks,
  ]
  return [
    target('messages', encoded, takeMessage),
    target('greetings', [...greetings, ...refusals], bytes => void decodeOpening(bytes)),
    target('chunks', chunks.map(bodyOf), takeChunk),
    target('answers', answers.map(bodyOf), bytes => void decodeAnswer(bytes)),
    target('frames', streams, takeStream),
  ]
}

function target(name: string, seeds: readonly Uint8Array[], take: Target['take']): Target {
  const guarded = (bytes: Uint8Array) => {
    try {
      take(bytes)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
    }
  }
  return { name, seeds, take: guarded, width: 1 }
}

function bodyOf(frame: Uint8Array): Uint8Array {
  return Uint8Array.from(frame.subarray(FRAME_HEADER_BYTES))
}

/** What is understood is understood alike when it is sent on. */
function takeMessage(bytes: Uint8Array): void {
  const message = decodeMessage(new ByteReader(bytes), direction)
  const writer = new ByteWriter(1)
  encodeMessage(writer, message)
  if (writer.length > messageBytesMax(message)) throw new Error('longer than its bound')
  const again = decodeMessage(new ByteReader(writer.view()), direction)
  if (`${texts([again])}` !== `${texts([message])}`) throw new Error('it becomes another message')
}

function takeChunk(bytes: Uint8Array): void {
  const found = decodeChunk(bytes)
  const again = decodeChunk(bodyOf(chunkFrame(found)))
  if (again.offset !== found.offset || again.header.id !== found.header.id) {
    throw new Error('it becomes another chunk')
  }
}

/** However it is cut: as a whole, and byte by byte. */
function takeStream(bytes: Uint8Array): void {
  const whole = bodies(bytes, bytes.length)
  const pieces = bodies(bytes, 7)
  if (whole !== pieces) throw new Error(`cut otherwise it is read otherwise: ${whole} ${pieces}`)
}

/** As text, with whether the end is damaged. */
function bodies(bytes: Uint8Array, size: number): string {
  const reader = new FrameReader(BODY_BYTES_MAX)
  const found: string[] = []
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const piece = Uint8Array.from(bytes.subarray(at, at + size))
      for (const body of reader.push(piece)) found.push(Buffer.from(body).toString('base64'))
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    // What came before it in one piece is lost with it: only the damage is compared.
    return 'damaged'
  }
  return found.join(' ')
}
