/** Requests through gateways, each on a connection of its own and sent once, and what a client may conclude. */

import http from 'node:http'

/** Of a whole request, redirections included. */
export const TIMEOUT_MS = 2_000
const REDIRECTS_MAX = 3

export interface Request {
  readonly method?: string
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** `sure`: the answer is the state machine's; `refused`: nothing happened and nothing will; `strange`: it is nowhere promised. */
export type Conclusion = 'sure' | 'refused' | 'unknown' | 'strange'

export interface Reply {
  /** 0: none came */
  readonly status: number
  readonly body: string
  readonly headers: http.IncomingHttpHeaders
  readonly conclusion: Conclusion
  /** ms, of the monotonic clock */
  readonly called: number
  readonly returned: number
  /** where it was sent first */
  readonly url: string
}

const SURE: readonly number[] = [200, 404, 409, 412, 422]
const REFUSED: readonly number[] = [400, 401, 403, 405, 411, 413, 414, 415, 421, 429, 431, 503]
const UNKNOWN: readonly number[] = [0, 502, 504]

/** As agent/docs/guarantees.md has it. @param sent false: not a byte of the request was */
export function conclude(status: number, sent: boolean): Conclusion {
  if (!sent) return 'refused'
  if (SURE.includes(status)) return 'sure'
  if (REFUSED.includes(status)) return 'refused'
  return UNKNOWN.includes(status) ? 'unknown' : 'strange'
}

interface Once {
  readonly status: number
  readonly body: string
  readonly headers: http.IncomingHttpHeaders
  readonly sent: boolean
}

/** Never rejects. @param base URL of a gateway */
export async function call(base: string, request: Request): Promise<Reply> {
  const called = performance.now()
  let url = new URL(request.path, base)
  for (let hop = 0; ; hop++) {
    const left = TIMEOUT_MS - (performance.now() - called)
    const once = await send(url, request, Math.max(1, left))
    const { location } = once.headers
    if (once.status === 307 && location !== undefined && hop < REDIRECTS_MAX) {
      url = new URL(location, url)
      continue
    }
    const { status, body, headers, sent } = once
    // Whoever redirects has not done it.
    const conclusion = status === 307 ? 'refused' : conclude(status, sent)
    return { status, body, headers, conclusion, called, returned: performance.now(), url: base }
  }
}

function send(url: URL, { method = 'GET', body, headers = {} }: Request, withinMs: number) {
  return new Promise<Once>(resolve => {
    let sent = false
    const request = http.request(url, { method, headers: { ...headers }, agent: false })
    const fail = () => {
      clearTimeout(timer)
      request.destroy()
      resolve({ status: 0, headers: {}, body: '', sent })
    }
    const timer = setTimeout(fail, withinMs)
    request.on('socket', socket => {
      socket.on('connect', () => {
        sent = true
      })
    })
    request.on('error', fail)
    request.on('response', response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
      })
      response.on('error', fail)
      response.on('aborted', fail)
      response.on('end', () => {
        clearTimeout(timer)
        if (!response.complete) fail()
        const { statusCode = 0 } = response
        resolve({ status: statusCode, headers: response.headers, body: text, sent })
      })
    })
    request.end(body)
  })
}

/** X-Raft-Index; null where there is none. */
export function indexOf({ headers }: Reply): number | null {
  const text = headers['x-raft-index']
  return typeof text === 'string' && /^[0-9]{1,15}$/.test(text) ? Number(text) : null
}
