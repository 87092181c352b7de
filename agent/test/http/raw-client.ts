import { connect, type NetConnectOpts, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  /** names in lower case */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** all that came */
  readonly raw: string
}

/** Sends bytes as they are; settles once the connection is closed from the other side. */
export async function until(where: NetConnectOpts, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(where)
  socket.on('error', () => {}) // a reset: what came before it counts
  for (const part of parts) socket.write(part)
  const received = await collect(socket)
  socket.destroy()
  return received
}

/** The last answer of a connection that the server closes; status 0 when there was none. */
export async function raw(where: NetConnectOpts, ...parts: (string | Buffer)[]): Promise<Answer> {
  return parse(await until(where, ...parts))
}

/** One request, with the target sent verbatim. */
export function request(
  where: NetConnectOpts,
  line: string,
  options: { readonly headers?: readonly string[]; readonly body?: string | Buffer } = {},
): Promise<Answer> {
  const { headers = [], body = '' } = options
  const length = body.length === 0 ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  const head = [`${line} HTTP/1.1`, 'Host: agent', 'Connection: close', ...length, ...headers]
  return raw(where, Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), Buffer.from(body)]))
}

function collect(socket: Socket): Promise<string> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    socket.on('data', chunk => chunks.push(chunk))
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
  })
}

export function parse(received: string): Answer {
  const start = received.lastIndexOf('HTTP/1.1 ')
  const split = received.indexOf('\r\n\r\n', start)
  if (start === -1 || split === -1) {
    return { status: 0, headers: new Map(), body: '', raw: received }
  }
  const [line = '', ...fields] = received.slice(start, split).split('\r\n')
  const headers = new Map(
    fields.map(field => {
      const colon = field.indexOf(':')
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()]
    }),
  )
  const body = Buffer.from(received.slice(split + 4), 'latin1').toString('utf8')
  return { status: Number(line.split(' ')[1]), headers, body, raw: received }
}
