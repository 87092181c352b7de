import { type IncomingHttpHeaders, type IncomingMessage, request as overHttp } from 'node:http'
import { request as overHttps } from 'node:https'
import { misused } from './exit.ts'

/** Where an agent or a gateway is asked. */
export interface Endpoint {
  /** as it was given */
  readonly name: string
  readonly secure: boolean
  /** sent with every request; null: none */
  readonly token: string | null
  /** for `request` of `node:http` */
  readonly where: { readonly socketPath: string } | { readonly host: string; readonly port: number }
}

export interface Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** with its query, encoded */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Ends it early. */
  readonly signal?: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** There was no connection: nothing was sent. */
export class NotReached extends Error {
  override readonly name = 'NotReached'
}

/** A request was sent and its answer did not come. */
export class Lost extends Error {
  override readonly name = 'Lost'
}

/** `http://host:port`, `https://…`, `host:port`, or `unix:/path`. @throws CommandError for anything else */
export function parseEndpoint(name: string, token: string | null = null): Endpoint {
  if (name.startsWith('unix:')) {
    const socketPath = name.slice('unix:'.length).replace(/^\/\/(?=\/)/, '')
    if (socketPath.startsWith('/')) return { name, secure: false, token, where: { socketPath } }
    throw misused(`${name}: a unix endpoint is unix:/path/of/the/socket`)
  }
  const text = name.includes('://') ? name : `http://${name}`
  const url = URL.canParse(text) ? new URL(text) : null
  const rest = url === null ? '' : url.pathname.replace(/^\/$/, '') + url.search + url.hash
  if (url === null || !['http:', 'https:'].includes(url.protocol) || rest !== '') {
    throw misused(`${name}: an endpoint is http://host:port, host:port, or unix:/path`)
  }
  const secure = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port)
  return { name, secure, token, where: { host, port } }
}

/**
 * One request, and the head of its answer: the body is to be read by the caller.
 * @param signal ends it at any time
 * @throws NotReached | Lost
 */
export function open(
  endpoint: Endpoint,
  { method, path, headers = {}, body }: Request,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const send = endpoint.secure ? overHttps : overHttp
  const length = body === undefined ? 0 : body.length
  const own = endpoint.token === null ? {} : { 'X-Consul-Token': endpoint.token }
  return new Promise((resolve, reject) => {
    let connected = false
    const outgoing = send({
      ...endpoint.where,
      method,
      path,
      headers: { ...own, ...headers, ...(method === 'GET' ? {} : { 'Content-Length': length }) },
      agent: false,
      signal,
    })
    outgoing.once('socket', socket => {
      socket.once('connect', () => {
        connected = true
      })
    })
    outgoing.once('response', resolve)
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      const why = signal.aborted ? 'no answer in time' : wordsOf(error)
      reject(connected ? new Lost(why) : new NotReached(why))
    })
    outgoing.end(body)
  })
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there (connection refused)',
  ENOENT: 'there is no such socket',
  EACCES: 'permission denied',
  ENOTFOUND: 'this name is not known',
  ECONNRESET: 'the connection was cut',
}

function wordsOf({ code, message }: NodeJS.ErrnoException): string {
  return WORDS[code ?? ''] ?? code ?? message
}

/** One request and its whole answer. @throws NotReached | Lost */
export async function ask(
  endpoint: Endpoint,
  request: Request,
  timeoutMs: number,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)))
  const signal = request.signal ? AbortSignal.any([timeout, request.signal]) : timeout
  const incoming = await open(endpoint, request, signal)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
  } catch {
    throw new Lost(signal.aborted ? 'no answer in time' : 'the answer ended early')
  }
  const { statusCode: status = 0, headers } = incoming
  return { status, headers, body: Buffer.concat(chunks) }
}
