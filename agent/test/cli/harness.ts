import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { Surroundings } from '../../src/cli/context.ts'
import { runProgram } from '../../src/cli/program.ts'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface Given {
  readonly stdin?: string | Buffer
  readonly env?: Surroundings['env']
  readonly terminal?: boolean
  readonly interrupted?: AbortSignal
}

/** One command, as if typed. */
export async function run(args: readonly string[], given: Given = {}): Promise<Ran> {
  const { stdin = '', env = {}, terminal = false, interrupted } = given
  const out: Buffer[] = []
  const err: Buffer[] = []
  const code = await runProgram(
    args,
    {
      env,
      stdin: Readable.from([Buffer.from(stdin)]),
      stdout: {
        isTTY: terminal,
        write: chunk => out.push(Buffer.from(chunk)),
      },
      stderr: { write: chunk => err.push(Buffer.from(chunk)) },
      interrupt: () => interrupted ?? new AbortController().signal,
    },
    { version: '1.2.3', startAgent: async () => {} },
  )
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }
}

export interface Seen {
  readonly line: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Speaker {
  /** `host:port` */
  readonly name: string
  readonly seen: Seen[]
}

/** What answers a request; `cut`: the connection ends instead. */
export type Speech = (
  seen: Seen,
  answer: (status: number, body?: string, headers?: Record<string, string>) => void,
  cut: () => void,
) => void

/** An HTTP server that says what it is told to. */
export async function speaker(
  t: { teardown(end: () => void): void },
  speech: Speech,
): Promise<Speaker> {
  const seen: Seen[] = []
  const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    let body = ''
    incoming.setEncoding('utf8')
    incoming.on('data', (chunk: string) => {
      body += chunk
    })
    incoming.on('end', () => {
      const line = `${incoming.method} ${incoming.url}`
      const one = { line, headers: incoming.headers, body }
      seen.push(one)
      const answer = (status: number, text = '', headers: Record<string, string> = {}) => {
        const json = text.startsWith('{') || text.startsWith('[')
        const type = json ? 'application/problem+json' : 'text/plain'
        outgoing.writeHead(status, { 'Content-Type': type, ...headers }).end(text)
      }
      speech(one, answer, () => incoming.socket.destroy())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { name: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}
