/** Bytes to a port, and what came back: no HTTP library in between that could tidy them. */

import net from 'node:net'

export interface RawAnswer {
  /** of the first answer; 0 when the connection closed without one */
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** all bytes, as latin1 */
  readonly text: string
  readonly elapsedMs: number
}

/** Sends `bytes`, then reads until the other side closes. A string is sent as latin1. */
export function send(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  return converse(port, socket => socket.write(typeof bytes === 'string' ? latin1(bytes) : bytes))
}

/**
 * @param speak writes to the connection, at once or later
 * @param patienceMs how long the other side may take to close
 */
export function converse(
  port: number,
  speak: (socket: net.Socket) => void,
  patienceMs = 20_000,
): Promise<RawAnswer> {
  const begun = Date.now()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = net.connect(port, '127.0.0.1', () => speak(socket))
    const patience = setTimeout(() => {
      socket.destroy()
      reject(new Error(`still open after ${patienceMs} ms: ${Buffer.concat(chunks)}`))
    }, patienceMs)
    socket.on('data', chunk => chunks.push(chunk))
    // A reset after the answer is how nginx closes on a client that still sends.
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(patience)
      resolve(parse(Buffer.concat(chunks).toString('latin1'), Date.now() - begun))
    })
  })
}

/** A whole request of one line and its headers, the connection closed after the answer. */
export function request(method: string, target: string, ...headers: string[]): string {
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: gateway', 'Connection: close', ...headers]
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** Statuses of all answers in a stream of them. */
export function statuses(answer: RawAnswer): number[] {
  return [...answer.text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(match => Number(match[1]))
}

export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function parse(text: string, elapsedMs: number): RawAnswer {
  // 100 Continue is no answer yet
  const rest = text.replace(/^HTTP\/1\.1 100 [^\r]*\r\n\r\n/, '')
  const split = rest.indexOf('\r\n\r\n')
  const [first = '', ...lines] = rest.slice(0, Math.max(split, 0)).split('\r\n')
  const headers = new Map(
    lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    }),
  )
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0)
  return { status, headers, body: split < 0 ? '' : rest.slice(split + 4), text, elapsedMs }
}
