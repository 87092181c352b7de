import { setMaxListeners } from 'node:events'
import { chmod } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, ListenOptions, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { Acl, type AclSource, NO_ACL } from '../acl/acl.ts'
import { parseHostPort } from '../lib/host-port.ts'
import { ChangeFeed } from '../machine/kv/change-feed.ts'
import type { Logger } from '../node/logger.ts'
import { awaitNone } from '../os/await-none.ts'
import { clearSocketPath, listen } from '../os/unix-socket.ts'
import type { NodeId } from '../raft/types.ts'
import type { AskAgent } from './ask-agent.ts'
import { type BackupSource, Backups, removeLeftOvers } from './backup/backups.ts'
import { BodyBudget } from './body-budget.ts'
import { Connections } from './connections.ts'
import type { Api } from './exchange.ts'
import { type FastDoor, openFastDoor } from './fast/fast-door.ts'
import { HTTP_LIMITS, type HttpLimits } from './limits.ts'
import { createListener, type Listener } from './listener.ts'
import { HttpMeasures } from './measures.ts'
import { refuseBadRequests } from './parser-errors.ts'
import { Peers } from './peers.ts'
import { Watches } from './watch/watches.ts'

export interface HttpOptions {
  readonly node: Api['node']
  /** Default null: the machine is one of keys. */
  readonly plugIn?: Api['plugIn']
  /** Default: one that stays empty. */
  readonly feed?: Api['feed']
  /** Default: nobody needs a token. */
  readonly acl?: AclSource
  /** Default false: its nginx sends writes to other nodes by itself. */
  readonly relay?: boolean
  /** Default null: its nginx keeps nothing in its memory. */
  readonly edge?: Api['edge']
  /** Default null: no keys become nginx's configuration. */
  readonly structure?: Api['structure']
  /** Default null: clients read and write all keys. */
  readonly reserved?: Api['reserved']
  /** Default null: it gives no backups. */
  readonly backup?: BackupSource | null
  readonly server: {
    /** `host:port` for operators and for the gateways of other nodes; port 0 takes a free one */
    readonly listen: string
    /** path of a unix socket for the nginx beside this agent; null: none */
    readonly socket: string | null
    readonly socketMode: number
  }
  /** What is not given is as in `HTTP_LIMITS`. */
  readonly limits: Partial<HttpLimits>
  readonly version: string
  readonly log: Logger
  /** How agents ask each other where each proves who it is. Default null: they prove nothing. */
  readonly askAgent?: AskAgent | null
  /** Default false. True: whoever reaches the operators' port is an operator, as `peer_insecure` has it. */
  readonly peersOpen?: boolean
  /** Default true. False sends the hot routes through Hono as well: for tests and measurements. */
  readonly lean?: boolean
  /** Default as `lean`. False leaves every connection to Node: for tests and measurements. */
  readonly fast?: boolean
}

export interface HttpServer {
  /** where TCP listens */
  readonly port: number
  /** Serves a connection whose other end has proven to be this node of the cluster. */
  adopt(socket: Socket, peer: NodeId): void
  /**
   * Serves what another node's nginx sends: a client, whoever it came by. To the end of this process, since a lane that
   * ends without a word leaves a write that nobody knows the outcome of.
   */
  serve(lane: Duplex): void
  /** Ends all watches: what they would be told is not to be relied on any more. Clients come back, and are refused. */
  endWatches(): void
  /** Accepts nothing more, lets running requests finish for `closeGraceMs`, then cuts what is left. */
  close(): Promise<void>
}

/**
 * Serves one API on TCP and on a unix socket.
 * @throws when one of them cannot be had; then neither is left open
 */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { backup = null, server, lean = true, fast = lean } = options
  const end = new AbortController()
  setMaxListeners(0, end.signal)
  const api = apiOf(options, end.signal)
  const { watches } = api
  const connections = new Connections()
  let closing = false
  const listener = createListener({ api, connections, closing: () => closing, lean })
  const servers: Opened[] = []
  const lanes = new Set<Duplex>()
  const close = async (): Promise<void> => {
    closing = true
    end.abort()
    watches.close()
    // A kept connection that is closed just as a request is sent on it costs that request its answer: each is
    // told first, with the answer that it gets meanwhile.
    if (servers.length > 0) await pause(api.limits.closeDrainMs)
    const { closeGraceMs } = api.limits
    await Promise.all([
      ...servers.map(opened => closeServer(opened, closeGraceMs)),
      // Node counts the connections that it accepted itself, and no others.
      awaitNone(lanes, closeGraceMs),
    ])
  }
  const open = async (where: ListenOptions): Promise<Server> => {
    const server = makeServer(api, listener)
    refuseBadRequests(server, api, connections)
    const everyMs = checkEveryMs(api.limits)
    const door = fast
      ? openFastDoor(server, { api, connections, closing: () => closing, everyMs })
      : null
    await listen(server, where)
    servers.push({ server, door })
    return server
  }
  try {
    if (typeof backup?.directory === 'string') await removeLeftOvers(backup.directory)
    const tcp = await open(listenOptions(server.listen))
    if (server.socket !== null) {
      await clearSocketPath(server.socket)
      await open({ path: server.socket })
      await chmod(server.socket, server.socketMode)
    }
    return {
      port: (tcp.address() as AddressInfo).port,
      adopt: adopting(api, tcp, () => closing),
      serve(lane) {
        lanes.add(lane)
        lane.once('close', () => lanes.delete(lane))
        tcp.emit('connection', lane)
      },
      endWatches: () => watches.close(),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function apiOf(options: HttpOptions, closing: AbortSignal): Api {
  const { node, version, log, feed = new ChangeFeed(), backup = null, acl = NO_ACL } = options
  const { plugIn = null, relay = false, edge = null, structure = null, reserved = null } = options
  const { askAgent = null, peersOpen = false } = options
  const limits = { ...HTTP_LIMITS, ...options.limits }
  return {
    node,
    plugIn,
    feed,
    version,
    log,
    limits,
    bodies: new BodyBudget(limits.bodiesBytesMax),
    measures: new HttpMeasures(),
    closing,
    watches: new Watches(feed),
    acl: new Acl(acl),
    relay,
    edge,
    structure,
    reserved,
    backups: backup === null ? null : new Backups(backup),
    peers: new Peers(askAgent, peersOpen),
  }
}

function adopting(api: Api, tcp: Server, closing: () => boolean): HttpServer['adopt'] {
  return (socket, peer) => {
    if (closing()) {
      socket.destroy()
      return
    }
    api.peers.adopt(socket, peer)
    tcp.emit('connection', socket)
  }
}

/** No host: all interfaces. */
function listenOptions(listen: string): ListenOptions {
  const address = parseHostPort(listen)
  if (address === null) throw new Error(`not host:port: ${listen}`)
  const { host, port } = address
  return host === '' ? { port } : { host, port }
}

function makeServer(api: Api, listener: Listener): Server {
  const { limits, measures } = api
  const server = createServer({
    maxHeaderSize: limits.headBytesMax,
    headersTimeout: limits.headTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: checkEveryMs(limits),
    // `readHead` does it, and answers as everywhere else.
    requireHostHeader: false,
    noDelay: true,
  })
  server.maxConnections = limits.connectionsMax
  server.on('connection', socket => {
    measures.connections++
    socket.once('close', () => measures.connections--)
  })
  server.on('drop', () => measures.connectionsRefused++)
  server.on('request', listener)
  // Node would say 100 to a body that will be refused.
  server.on('checkContinue', listener)
  server.on('checkExpectation', listener)
  return server
}

/** Node compares times only this often, so a timeout comes late by as much. */
function checkEveryMs(limits: HttpLimits): number {
  return Math.min(1000, Math.ceil(limits.headTimeoutMs / 4))
}

interface Opened {
  readonly server: Server
  /** Null: all connections are Node's. */
  readonly door: FastDoor | null
}

function closeServer({ server, door }: Opened, graceMs: number): Promise<void> {
  return new Promise(resolve => {
    const cut = setTimeout(() => {
      server.closeAllConnections()
      door?.closeAll()
    }, graceMs)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
    door?.closeIdle()
  })
}
