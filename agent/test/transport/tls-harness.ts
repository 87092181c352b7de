import { createHash, X509Certificate } from 'node:crypto'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import type { NodeId } from '../../src/raft/types.ts'
import { type Issued, makeAuthority, makeNode } from '../../src/tls/authority.ts'
import type { Credentials } from '../../src/tls/credentials.ts'
import { TlsWire } from '../../src/transport/tls-wire.ts'

export const CLUSTER = 'test'

export interface IssueOptions {
  readonly cluster?: string
  readonly days?: number
  readonly from?: Date
}

export function authority({ cluster = CLUSTER, days = 10, from = new Date() }: IssueOptions = {}) {
  return makeAuthority({ cluster, days, from })
}

export function issue(ca: Issued, node: NodeId, options: IssueOptions = {}): Promise<Issued> {
  const { cluster = CLUSTER, days = 5, from = new Date() } = options
  return makeNode(ca, { cluster, node, hosts: [], days, from })
}

/** @param trusted who signs the others */
export function certificates(own: Issued, ...trusted: readonly Issued[]): Credentials {
  const authorities = trusted.map(({ certificate }) => new X509Certificate(certificate))
  const ca = trusted.map(({ certificate }) => certificate).join('')
  const expires = new Date(Date.now() + 1e9)
  return { kind: 'certificates', ca, cert: own.certificate, key: own.key, authorities, expires }
}

export function secret(text: string): Credentials {
  return { kind: 'secret', key: createHash('sha256').update(text).digest() }
}

export function wireOf(nodeId: NodeId, credentials: Credentials, clusterId = CLUSTER): TlsWire {
  return new TlsWire(credentials, { clusterId, nodeId })
}

/** A TLS connection made by hand, and what came of it. */
export function rawTls(t: Test, port: number, options: ConnectionOptions) {
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port,
    ALPNProtocols: ['raft-nginx'],
    // Whoever attacks asks for nothing.
    rejectUnauthorized: false,
    ...options,
  })
  const received: Buffer[] = []
  const errors: string[] = []
  let closed = false
  t.teardown(() => socket.destroy())
  socket.on('data', chunk => received.push(chunk))
  socket.on('error', error => errors.push((error as NodeJS.ErrnoException).code ?? error.message))
  socket.on('close', () => {
    closed = true
  })
  return {
    socket,
    errors,
    closed: () => closed,
    text: () => Buffer.concat(received).toString('latin1'),
  }
}
