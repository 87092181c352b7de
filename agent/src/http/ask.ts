import { type RequestOptions, request } from 'node:http'

export interface Answer {
  readonly status: number
  /** names in lower case */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** One question to another agent, on a connection of its own. Rejects when no whole answer comes. */
export function ask(options: RequestOptions, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = body === '' ? {} : { 'Content-Type': 'application/json' }
    const length = { 'Content-Length': Buffer.byteLength(body) }
    const headers = { ...options.headers, ...type, ...length }
    const asking = request({ ...options, headers, agent: false }, incoming => {
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
