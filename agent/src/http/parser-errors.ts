/** Answers to requests that Node's parser refuses, and to tunnels: written straight to the socket. */
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Connections } from './connections.ts'
import { type Api, statusIfAny } from './exchange.ts'
import { type Refusal, refuse } from './refusal.ts'
import { type Reply, refusalReply } from './reply.ts'

/** What a refused connection may still send before it is cut, so that the client reads the answer. */
const DISCARD_BYTES_MAX = 8 * 1024 * 1024
/** What Node says of a request that comes too slowly. */
export const TIMEOUT = 'ERR_HTTP_REQUEST_TIMEOUT'

export function refuseBadRequests(server: Server, api: Api, connections: Connections): void {
  server.on('clientError', (error: NodeJS.ErrnoException, duplex: Duplex) => {
    const socket = duplex as Socket
    // The parser reports each later chunk of a connection that it has given up.
    if (connections.wasRefused(socket) && error.code !== TIMEOUT) return
    if (!socket.writable || error.code === 'ECONNRESET' || !connections.mayRefuse(socket)) {
      socket.destroy()
      return
    }
    connections.refused(socket)
    const reason = reasonOf(error)
    api.measures.malformed(reason.status)
    socket.write(inFull(refusalReply(reason, statusIfAny(api), true)))
    if (error.code === TIMEOUT) socket.destroySoon()
    else discard(socket)
  })
  server.on('connect', (_request: IncomingMessage, duplex: Duplex) => {
    const refusal = { ...refuse(405, 'METHOD_NOT_ALLOWED', 'no tunnels'), allow: 'GET, HEAD, POST' }
    duplex.end(inFull(refusalReply(refusal, statusIfAny(api), true)), () => duplex.destroy())
  })
}

function reasonOf(error: NodeJS.ErrnoException): Refusal {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return refuse(431, 'HEADER_TOO_LARGE', 'the headers are too large')
    case TIMEOUT:
      return refuse(408, 'REQUEST_TIMEOUT', 'the request came too slowly')
    default:
      return refuse(400, 'BAD_REQUEST', 'this is not well-formed HTTP')
  }
}

/** Closing at once would reset the connection under an unread answer. The head's timeout ends it at last. */
function discard(socket: Socket): void {
  socket.end()
  let discarded = 0
  socket.on('data', (chunk: Buffer) => {
    discarded += chunk.length
    if (discarded > DISCARD_BYTES_MAX) socket.destroy()
  })
}

function inFull(reply: Reply): string {
  const headers = Object.entries(reply.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status]}\r\n${headers.join('')}\r\n${reply.body}`
}
