/** Clients that pipeline, and what is seen of them. */

import { subscribe } from 'node:diagnostics_channel'
import { connect, Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import type { Harness } from './harness.ts'
import { parse } from './raw-client.ts'

/** Other ends of connections, as they come. */
export const accepted: Socket[] = []
subscribe('net.server.socket', message => {
  const socket: unknown = Reflect.get(Object(message), 'socket')
  if (socket instanceof Socket) accepted.push(socket)
})

export const GET = 'GET /key/a HTTP/1.1\r\nHost: a\r\n\r\n'
export const CONSISTENT = 'GET /key/a?consistent HTTP/1.1\r\nHost: a\r\n\r\n'

/** Writes one key. */
export function post(value: string, key = 'a'): string {
  const body = `{"${key}":"${value}"}`
  return `POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

export class Client {
  readonly socket: Socket
  text = ''

  constructor({ tcp }: Harness, sent: string) {
    this.socket = connect(tcp)
    this.socket.setEncoding('latin1').on('data', (chunk: string) => {
      this.text += chunk
    })
    this.socket.on('error', () => {})
    this.socket.write(sent)
  }

  get statuses(): number[] {
    return (this.text.match(/HTTP\/1\.1 \d+/g) ?? []).map(line => Number(line.slice(9)))
  }

  async answers(count: number): Promise<string> {
    while (this.statuses.length < count || !isWhole(this.text)) await turn()
    return this.text
  }
}

function isWhole(text: string): boolean {
  const { headers, body } = parse(text)
  return Number(headers.get('content-length')) === body.length
}

/** Turns enough for all that was sent to be there, and for what follows from it. */
export async function someTurns(): Promise<void> {
  for (let at = 0; at < 50; at++) await turn()
}

export async function sample({ http }: Harness, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${http.port}/metrics`)
  const line = (await answer.text()).split('\n').find(each => each.startsWith(`${name} `))
  return Number(line?.split(' ')[1])
}
