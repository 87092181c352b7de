/** As much of a DNS server as nginx asks for: addresses of names, or that there are none. */

import dgram from 'node:dgram'
import { once } from 'node:events'
import type { Owner } from './fleet.ts'

const HEADER_BYTES = 12
const NO_SUCH_NAME = 3

export class NameServer {
  /** name → IPv4 address */
  readonly known = new Map<string, string>()
  readonly port: number

  private constructor(socket: dgram.Socket) {
    this.port = socket.address().port
    socket.on('message', (question, from) => {
      socket.send(this.#answer(question), from.port, from.address)
    })
  }

  static async start(t: Owner): Promise<NameServer> {
    const socket = dgram.createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    t.teardown(() => socket.close())
    return new NameServer(socket)
  }

  #answer(question: Buffer): Buffer {
    const { name, end } = readName(question)
    const address = this.known.get(name)
    const header = Buffer.from(question.subarray(0, HEADER_BYTES))
    header.writeUInt16BE(address === undefined ? 0x8180 | NO_SUCH_NAME : 0x8180, 2)
    header.writeUInt16BE(address === undefined ? 0 : 1, 6)
    header.writeUInt32BE(0, 8)
    // type and class follow the name
    const asked = question.subarray(HEADER_BYTES, end + 4)
    if (address === undefined) return Buffer.concat([header, asked])
    // a pointer to the name, type A, class IN, a second to live, four bytes
    const record = Buffer.from([0xc0, HEADER_BYTES, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4])
    return Buffer.concat([header, asked, record, Buffer.from(address.split('.').map(Number))])
  }
}

function readName(question: Buffer): { name: string; end: number } {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), end: at + 1 }
}
