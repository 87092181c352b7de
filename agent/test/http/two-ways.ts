import { subscribe } from 'node:diagnostics_channel'
import { connect, type NetConnectOpts, Server, Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { PlainHead } from '../../src/http/fast/plain-head.ts'
import { askedBy, mayComeLater } from '../../src/http/fast/served.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { type Harness, serve } from './harness.ts'

/** Turns of the event loop without a byte, after which no answer is on its way any more. */
const QUIET_TURNS = 12
/** Of one that has stopped reading. */
const TURNS_MAX = 5_000

/** At least between two looks at connections that wait for the rest of a request. */
const LOOK_MS = 1_000
const COUNTED_MS = 5_000

/** What one client sends: `next`: waits for the answers before it goes on. */
export type Sent = readonly { readonly bytes: Uint8Array; readonly next: 'at-once' | 'wait' }[]

/** Other ends of the latest connections, by port or path. */
const LATEST = new Map<unknown, Socket>()

function placeOf(server: Server): unknown {
  const address = server.address()
  return address !== null && typeof address === 'object' ? address.port : address
}

/**
 * Node's parser takes bytes from the handle itself while nobody else listens, and lets what waits run between the bodies
 * of one packet. What is handed over to it comes as an event, and is parsed in one go: so everything does here, else a
 * request in front of a malformed one would be answered or not by chance.
 */
subscribe('net.server.socket', message => {
  const socket: unknown = Reflect.get(Object(message), 'socket')
  if (!(socket instanceof Socket)) return
  Reflect.set(Object(Reflect.get(socket, '_handle')), '_consumed', true)
  socket.on('data', () => {})
  const server: unknown = Reflect.get(socket, 'server')
  if (server instanceof Server) LATEST.set(placeOf(server), socket)
})

/** Two servers in the same state, of which one has the fast door. */
export class TwoWays {
  readonly #fast: Harness
  readonly #slow: Harness

  static async open(t: Parameters<typeof serve>[0]): Promise<TwoWays> {
    const settings = { reserved: Buffer.from('nginx/') }
    return new TwoWays(await serve(t, settings), await serve(t, { ...settings, fast: false }))
  }

  constructor(fast: Harness, slow: Harness) {
    this.#fast = fast
    this.#slow = slow
  }

  /**
   * What is pipelined has to be answered as if each request had waited for the answer before it: so Node has them.
   * @throws Error unless both say the same to the same, and log no error
   */
  async compare(sent: Sent, by: 'tcp' | 'unix' = 'tcp'): Promise<string> {
    const began = performance.now()
    const answers = [answerOf(this.#fast[by], sent), answerOf(this.#slow[by], inTurn(sent))]
    const [fast = '', slow = ''] = await Promise.all(answers)
    const errors = [...this.#fast.errors.splice(0), ...this.#slow.errors.splice(0)]
    if (errors.length > 0) throw new Error(`logged: ${errors.join()}`)
    if (fast === slow) return fast
    // A look of the door's timer may have come between two pieces: then their request is Node's.
    if (sent.length > 1 && performance.now() - began > LOOK_MS) return fast
    throw new Error(`fast: ${JSON.stringify(fast)}\nNode: ${JSON.stringify(slow)}`)
  }

  /** @throws Error unless both have counted the same requests, and hold nothing any more */
  async checkCounts(): Promise<void> {
    // Who has left may be noticed a moment later by one than by the other.
    const deadline = performance.now() + COUNTED_MS
    for (;;) {
      const [fast, slow] = [await countsOf(this.#fast), await countsOf(this.#slow)]
      if (fast === slow) return
      if (performance.now() > deadline) throw new Error(`counted: ${fast}\nNode: ${slow}`)
      await new Promise(resolve => setTimeout(resolve, COUNTED_MS / 100))
    }
  }
}

/** The same bytes, with a pause behind each request in front of the first one that is not plain. */
export function inTurn(sent: Sent): Sent {
  const all = Buffer.concat(sent.map(({ bytes }) => bytes))
  const ends: number[] = []
  for (let at = 0; ; at = ends.at(-1) ?? 0) {
    const plain = new PlainHead()
    if (plain.read(all, at) !== 'whole') break
    const end = at + plain.bytes + plain.contentLength
    const asked = askedBy(HTTP_LIMITS, plain)
    if (end > all.length || asked === null) break
    if (isCut(sent, at + plain.bytes, end) && !mayComeLater(asked)) break
    ends.push(end)
  }
  let from = 0
  return sent.flatMap(({ bytes, next }) => {
    const to = from + bytes.length
    const cuts = [from, ...ends.filter(end => end > from && end <= to)]
    if (cuts.at(-1) !== to || to === from) cuts.push(to)
    from = to
    return cuts.slice(1).map((cut, at) => {
      const piece = all.subarray(cuts[at], cut)
      return { bytes: piece, next: ends.includes(cut) ? 'wait' : next } as const
    })
  })
}

function isCut(sent: Sent, from: number, to: number): boolean {
  let end = 0
  return sent.some(({ bytes }) => {
    end += bytes.length
    return end >= from && end < to
  })
}

/** All that comes until the connection ends, without what differs from run to run. */
function answerOf(where: NetConnectOpts, sent: Sent): Promise<string> {
  return new Promise((resolve, reject) => {
    // Else the kernel keeps a small piece back until the one before it is acknowledged, which turns do not wait for.
    const socket = connect(where).setNoDelay(true)
    const chunks: Buffer[] = []
    socket.on('data', chunk => chunks.push(chunk))
    socket.on('error', () => {}) // a reset: what came before it counts
    socket.on('close', () => resolve(masked(Buffer.concat(chunks).toString('latin1'))))
    socket.on('connect', () => {
      send(sent).catch(reject)
    })
    const send = async (parts: Sent): Promise<void> => {
      for (const { bytes, next } of parts) {
        if (bytes.length > 0) socket.write(bytes)
        if (next === 'wait') await quiet(socket, where)
        else await turn()
      }
      await quiet(socket, where)
      socket.end()
    }
  })
}

/** Until all that was sent has come, on both ends, and no more comes. */
async function quiet(socket: Socket, where: NetConnectOpts): Promise<void> {
  let before = -1
  let turns = 0
  for (let all = 0; all < TURNS_MAX && turns < QUIET_TURNS && !socket.destroyed; all++) {
    const other = LATEST.get('port' in where ? where.port : where.path)
    const waits =
      other === undefined ||
      other.bytesRead !== socket.bytesWritten ||
      other.bytesWritten !== socket.bytesRead
    turns = waits || socket.bytesRead !== before ? 0 : turns + 1
    before = socket.bytesRead
    await turn()
  }
}

function masked(answer: string): string {
  return (
    answer
      .replace(/\r\nDate: [^\r\n]*/g, '\r\nDate: -')
      .replace(/# HELP[\s\S]*/, '(metrics)')
      .replace(/Content-Length: \d+\r\n(?=(?:(?!\r\n\r\n)[\s\S])*\r\n\r\n\(metrics\))/g, '')
      // What is applied when a request fails depends on what is under way beside it.
      .replace(/(HTTP\/1\.1 [45][^\r\n]*\r\nX-Raft-Index: )\d+/g, '$1-')
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '(id)')
  )
}

async function countsOf({ http }: Harness): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${http.port}/metrics`)
  const lines = (await answer.text()).split('\n')
  return lines.filter(line => /http_(?:requests|in_flight|bodies)/.test(line)).join('\n')
}
