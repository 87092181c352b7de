import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

type Hop = Readonly<Record<string, string>>
const NO_HOP: Hop = {}
const HOP: Hop = { 'x-raft-hop': '1' }

/** A request that came whole, so that nothing of it is waited for. */
export class WholeRequest {
  readonly socket: Socket
  readonly method: string
  readonly url: string
  /** Of the headers only what says that another node's nginx sent it; the others are in the `Head`. */
  readonly headers: Hop
  readonly whole: Buffer

  constructor(
    socket: Socket,
    line: { readonly method: string; readonly target: string; readonly hop: boolean },
    whole: Buffer,
  ) {
    this.socket = socket
    this.method = line.method
    this.url = line.target
    this.headers = line.hop ? HOP : NO_HOP
    this.whole = whole
  }
}

/** A request, by whichever way it came. */
export type Incoming = IncomingMessage | WholeRequest

export function isWhole(incoming: Incoming): incoming is WholeRequest {
  return incoming instanceof WholeRequest
}
