import { type ClientRequest, type RequestOptions, request } from 'node:http'

export interface Answer {
  readonly status: number
  /** names in lower case */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** One question to another agent, on a connection of its own. Rejects when no whole answer comes. */
export function ask(options: RequestOptions, body: string): Promise<Answer> {
  return answerOf(body, ({ headers }) =>
    request({ ...options, headers: { ...options.headers, ...headers }, agent: false }),
  )
}

/** @param start sends no body yet */
export function answerOf(
  body: string,
  start: (given: Required<Pick<RequestOptions, 'headers'>>) => ClientRequest,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = body === '' ? {} : { 'Content-Type': 'application/json' }
    const asking = start({ headers: { ...type, 'Content-Length': Buffer.byteLength(body) } })
    asking.on('response', incoming => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.on('error', reject)
      incoming.on('end', () => {
        const { statusCode = 502 } = incoming
        resolve({ status: statusCode, headers: incoming.headers, body: text })
      })
    })
    asking.on('error', reject)
    asking.end(body)
  })
}
