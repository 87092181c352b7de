import { DecodeError } from '../lib/bytes.ts'
import type { Message } from '../raft/message.ts'
import { decodeChunk } from './chunk-codec.ts'
import type { Direction } from './codec.ts'
import { BODY, decodeMessages } from './frame.ts'
import { decodeOpening } from './handshake.ts'
import { NOTICE_BYTES_MAX, type SnapshotChunk } from './transport.ts'

/** What arrived together from a verified peer. */
export interface Delivery {
  readonly messages: Message[]
  readonly notices: Uint8Array[]
  chunk: SnapshotChunk | null
  /** another connection is about to take the place of this one */
  renew: boolean
}

/**
 * @param answering a chunk of this peer is not answered yet: no other may come
 * @throws DecodeError
 */
export function decodeDelivery(
  bodies: readonly Uint8Array[],
  direction: Direction,
  answering: boolean,
): Delivery {
  const delivery: Delivery = { messages: [], notices: [], chunk: null, renew: false }
  for (const body of bodies) {
    switch (body[0]) {
      case BODY.messages:
        for (const message of decodeMessages(body, direction)) delivery.messages.push(message)
        break
      case BODY.chunk:
        if (answering || delivery.chunk !== null) throw new DecodeError('a chunk too early')
        delivery.chunk = decodeChunk(body)
        break
      case BODY.notice:
        delivery.notices.push(noticeOf(body))
        break
      case BODY.ping:
        expectBare(body)
        break
      case BODY.renew:
        expectBare(body)
        delivery.renew = true
        break
      case BODY.refusal:
        throw new DecodeError(refusalText(body))
      default:
        throw new DecodeError(`unknown body ${body[0]}`)
    }
  }
  return delivery
}

function expectBare(body: Uint8Array): void {
  if (body.length > 1) throw new DecodeError(`a body ${body[0]} with something in it`)
}

function noticeOf(body: Uint8Array): Uint8Array {
  if (body.length - 1 > NOTICE_BYTES_MAX) throw new DecodeError(`a notice of ${body.length} bytes`)
  return body.subarray(1)
}

/** A peer that was welcomed and then does not take part with us says why. */
function refusalText(body: Uint8Array): string {
  const opening = decodeOpening(body)
  return opening.kind === 'refusal' ? `refused by it: ${opening.reason}` : 'no refusal'
}

/** Helps whoever finds the line in the log: the usual visitors of a wrong port. */
export function resemblance(chunk: Uint8Array): string {
  const start = Buffer.from(chunk.subarray(0, 8)).toString('latin1')
  if (/^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PRI) /.test(start)) return ' (looks like HTTP)'
  if (start.startsWith('SSH-')) return ' (looks like SSH)'
  return start.startsWith('\x16\x03') ? ' (looks like TLS)' : ''
}
