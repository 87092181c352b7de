import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import {
  connect,
  createServer,
  type SecureContextOptions,
  type TLSSocket,
  type TlsOptions,
  type Server as TlsServer,
} from 'node:tls'
import type { Cancel } from '../clock/clock.ts'
import { asNodeId, NODE_ID, type NodeId } from '../raft/types.ts'
import type { Credentials, Holder } from '../tls/credentials.ts'
import { nodeNamed } from '../tls/peer-name.ts'
import { TlsDoor } from './tls-door.ts'
import type { Dialling, Entrance, Language, Wire, WireHandler, WireLimits } from './wire.ts'

/** On the wire for ever. */
const PROTOCOLS: Readonly<Record<Language, string>> = {
  raft: 'raft-nginx',
  http: 'raft-nginx-http',
  gateway: 'raft-nginx-gateway',
}
/** The first that both ends speak is spoken. */
const LANGUAGES: readonly Language[] = ['raft', 'gateway', 'http']

type Opener = (language: Language) => void

/** What a connection was opened with. */
interface Opened {
  readonly credentials: Credentials
  /** by the other end, as of the handshake: Node forgets it later */
  readonly shown: X509Certificate | undefined
}

/**
 * TLS 1.3 both ways. With certificates each end shows one that a common CA has signed for a node of this cluster;
 * with a shared secret both prove that they have it, by TLS's own pre-shared keys with a Diffie-Hellman exchange
 * (RFC 8446, 2.2), so nothing on the wire helps to guess it, and all that follows is encrypted. No session is ever
 * resumed: each connection is proven anew.
 */
export class TlsWire implements Wire {
  readonly #holder: Holder
  #credentials: Credentials
  readonly #servers = new Set<TlsServer>()
  readonly #callbacks = new Set<() => void>()
  readonly #opened = new WeakMap<Socket, Opened>()
  /** who has shown that it knows the secret, as it called itself */
  readonly #keyed = new WeakMap<Socket, NodeId>()

  constructor(credentials: Credentials, holder: Holder) {
    this.#credentials = credentials
    this.#holder = holder
  }

  get credentials(): Credentials {
    return this.#credentials
  }

  /** From now on. Connections that the new ones do not vouch for are to end: `onChange`. */
  replace(credentials: Credentials): void {
    this.#credentials = credentials
    for (const server of this.#servers) server.setSecureContext(contextOf(credentials))
    for (const callback of this.#callbacks) callback()
  }

  dial({ to, peer, language, orElse = language }: Dialling, onOpen: Opener): Socket {
    const credentials = this.#credentials
    const languages = language === orElse ? [language] : [language, orElse]
    const socket = connect({
      ...to,
      ...contextOf(credentials),
      ALPNProtocols: languages.map(each => PROTOCOLS[each]),
      rejectUnauthorized: true,
      ...(credentials.kind === 'secret'
        ? { pskCallback: () => ({ psk: credentials.key, identity: this.#holder.nodeId }) }
        : {}),
      checkServerIdentity: (_, { subjectaltname }) =>
        credentials.kind === 'secret' ? undefined : this.#doubt(peer, subjectaltname),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true)
    this.#opened.set(socket, { credentials, shown: undefined })
    socket.on('secureConnect', () => {
      this.#opened.set(socket, { credentials, shown: socket.getPeerX509Certificate() })
      const spoken = languages.find(each => PROTOCOLS[each] === socket.alpnProtocol)
      const doubt = doubtOfSession(socket, credentials)
      if (spoken !== undefined && doubt === null) onOpen(spoken)
      else socket.destroy(new Error(doubt ?? 'it is no raft-nginx agent'))
    })
    return socket
  }

  entrance(handler: WireHandler, limits: WireLimits): Entrance {
    const server = createServer(this.#serverOptions())
    this.#servers.add(server)
    server.on('close', () => this.#servers.delete(server))
    const door = new TlsDoor<Credentials>(handler, limits)
    server.on('connection', socket => door.onKnock(socket, this.#credentials))
    server.on('tlsClientError', (error, socket) => door.onFailure(error, socket))
    server.on('secureConnection', socket => {
      const credentials = door.onPassed(socket)
      if (credentials === null) socket.destroy()
      else this.#onSecure(handler, socket, credentials)
    })
    return { server, dismissAll: () => door.dismissAll() }
  }

  trusts(socket: Socket): boolean {
    const opened = this.#opened.get(socket)
    const now = this.#credentials
    if (opened === undefined || opened.credentials === now) return opened !== undefined
    const { credentials: then, shown } = opened
    if (now.kind === 'secret') return then.kind === 'secret' && then.key.equals(now.key)
    // One with certificates in between is asked anew, and shows them again.
    return now.authorities.some(
      authority => shown?.checkIssued(authority) && shown.verify(authority.publicKey),
    )
  }

  onChange(callback: () => void): Cancel {
    this.#callbacks.add(callback)
    return () => this.#callbacks.delete(callback)
  }

  #serverOptions(): TlsOptions {
    const options = {
      ...contextOf(this.#credentials),
      ALPNProtocols: LANGUAGES.map(language => PROTOCOLS[language]),
      noDelay: true,
      keepAlive: true,
      // Longer than a door waits.
      handshakeTimeout: 3_600_000,
    }
    if (this.#credentials.kind === 'certificates') {
      return { ...options, requestCert: true, rejectUnauthorized: true }
    }
    return { ...options, pskCallback: (socket, identity) => this.#keyFor(socket, identity) }
  }

  #keyFor(socket: TLSSocket, identity: string): Buffer | null {
    if (this.#credentials.kind !== 'secret' || !NODE_ID.test(identity)) return null
    this.#keyed.set(socket, asNodeId(identity))
    return this.#credentials.key
  }

  #onSecure(handler: WireHandler, socket: TLSSocket, credentials: Credentials): void {
    socket.on('error', () => {})
    const language = LANGUAGES.find(each => PROTOCOLS[each] === socket.alpnProtocol)
    const proven = this.#provenBy(socket, credentials)
    if (language !== undefined && typeof proven === 'object') {
      this.#opened.set(socket, { credentials, shown: socket.getPeerX509Certificate() })
    }
    // It may have knocked before the credentials were replaced.
    if (language !== undefined && typeof proven === 'object' && this.trusts(socket)) {
      handler.onArrival({ socket, proven: proven.id, language })
      return
    }
    const doubt = typeof proven === 'string' ? proven : 'it is no raft-nginx agent'
    handler.onTurnedAway(`${socket.remoteAddress}:${socket.remotePort}`, doubt)
    socket.destroy()
  }

  /** Who came, or why that is not known. */
  #provenBy(socket: TLSSocket, { kind }: Credentials): { readonly id: NodeId } | string {
    if (kind === 'secret') {
      const id = this.#keyed.get(socket)
      return id === undefined ? 'it has not proven that it knows the secret' : { id }
    }
    // Node has destroyed what is not authorized: this holds in any case.
    if (!socket.authorized || socket.isSessionReused()) return 'it showed no certificate'
    const { subjectaltname = 'none' } = socket.getPeerCertificate()
    const id = nodeNamed(this.#holder.clusterId, subjectaltname)
    return id === null
      ? `its certificate is for no node of this cluster (${subjectaltname})`
      : { id }
  }

  /** Why whoever answered is not the peer that was dialled. */
  #doubt(peer: NodeId | null, names: string | undefined): Error | undefined {
    const named = nodeNamed(this.#holder.clusterId, names)
    if (named !== null && (peer === null || named === peer)) return undefined
    const wanted = peer ?? 'a node'
    const found = named ?? `no node of this cluster (${(names ?? 'no names').slice(0, 200)})`
    return new Error(`its certificate must be for ${wanted} of this cluster, and is for ${found}`)
  }
}

function contextOf(credentials: Credentials): SecureContextOptions {
  const version = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
  if (credentials.kind === 'secret') {
    // A hash of 256 bits is what such keys are for (RFC 8446, 4.2.11). No CA: no certificate takes the secret's place.
    return { ...version, ca: [], ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256' }
  }
  const { ca, cert, key } = credentials
  return { ...version, ca, cert, key }
}

/** Why the other end has not proven what it should; null when it has. */
function doubtOfSession(socket: TLSSocket, { kind }: Credentials): string | null {
  const byKey = socket.isSessionReused() && socket.getPeerX509Certificate() === undefined
  if (kind === 'secret') return byKey ? null : 'it has not proven that it knows the secret'
  return socket.authorized && !socket.isSessionReused() ? null : 'it showed no certificate'
}
