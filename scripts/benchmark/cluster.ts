import type { Dialect, Endpoint } from './job.ts'
import type { LoadName } from './loads.ts'

/** Where the requests of one target go right now, and whose CPU they cost. */
export interface Aim {
  readonly dialect: Dialect
  readonly endpoint: Endpoint
  readonly serverPids: readonly number[]
}

/** A request by HTTP that is answered 200 when it was done. */
export interface Attempt {
  readonly url: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

/** What single writes write. */
export const WRITTEN = 'watched'

/** One server of a cluster, which can be ended and started again. */
export interface Member {
  readonly pid: number
  /** of its clients */
  readonly port: number
  /** how it is asked to write this under `WRITTEN` */
  write(value: string): Attempt
  /** how it is asked for the newest value of `KNOWN`, with certainty */
  read(): Attempt
  /** @returns when its process is gone */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** After its end. @returns when its process runs, ready or not */
  startAgain(): void
}

/** Servers that the bench has started. */
export interface Cluster {
  /** Finds the leader anew: it may have changed since the last point. */
  aimAt(target: Target, load: LoadName): Promise<Aim>
  /** In the order of their ids; one that has ended keeps its place. */
  members(): readonly Member[]
  /** @throws Error when there is none */
  leader(): Promise<Member>
  /** Returns when all take part and know who leads. */
  ready(): Promise<void>
  stop(): Promise<void>
}

/** What can be measured. The order is the table's. */
export const TARGETS = [
  'agent-pipelined',
  'agent',
  'agent-socket',
  'gateway',
  'gateway-follower',
  'gateway-redirect',
  'edge-pipelined',
  'edge',
  'compared',
  'etcd',
  'etcd-conns',
  'etcd-v2',
  'consul',
  'hraftd',
  'redis',
  'nginx-file',
] as const
export type Target = (typeof TARGETS)[number]

/** Whose servers answer a target. */
export type Peer = 'ours' | 'compared' | 'etcd' | 'consul' | 'hraftd' | 'redis' | 'nginx-file'

interface TargetSpec {
  readonly peer: Peer
  readonly text: string
  /** null: writes, and every kind of read but those from nginx's memory */
  readonly loads: readonly LoadName[] | null
  /** each client has a connection of its own also where the protocol could do with fewer */
  readonly connectionEach?: true
  /** all clients share a few connections also where the protocol has no streams */
  readonly pipelined?: true
}

const PLAIN: readonly LoadName[] = ['writes', 'writes-1k', 'writes-64k', 'local-reads']

export const TARGET_SPECS: Readonly<Record<Target, TargetSpec>> = {
  'agent-pipelined': {
    ...{ peer: 'ours', loads: null, pipelined: true },
    text: "the leader's agent, HTTP pipelined, all clients on at most 4 connections",
  },
  agent: { peer: 'ours', loads: null, text: "the leader's agent, HTTP over loopback TCP" },
  'agent-socket': {
    ...{ peer: 'ours', loads: null },
    text: "the leader's agent, HTTP over its unix socket",
  },
  gateway: { peer: 'ours', loads: null, text: "nginx of the leader's node" },
  'gateway-follower': {
    ...{ peer: 'ours', loads: null },
    text: "nginx of a follower's node, which takes writes to the leader (proxy mode)",
  },
  'gateway-redirect': {
    ...{ peer: 'ours', loads: ['writes'] },
    text: 'the nginx that a follower in redirect mode points at, by a client that remembers it',
  },
  'edge-pipelined': {
    ...{ peer: 'ours', loads: ['edge-reads'], pipelined: true },
    text: 'the same as edge, HTTP pipelined, all clients on at most 4 connections',
  },
  edge: {
    ...{ peer: 'ours', loads: ['edge-reads'] },
    text: "nginx of a follower's node, out of its own memory (nginx with njs 0.8 or later)",
  },
  compared: {
    ...{ peer: 'compared', loads: null },
    text: 'like agent, of another checkout (--compare)',
  },
  etcd: {
    ...{ peer: 'etcd', loads: null },
    text: "etcd's leader, v3 API over gRPC, all clients on at most 4 connections",
  },
  'etcd-conns': {
    ...{ peer: 'etcd', loads: null, connectionEach: true },
    text: 'the same with a connection for each client, as every other target has it',
  },
  'etcd-v2': {
    ...{ peer: 'etcd', loads: PLAIN },
    text: "etcd's leader, v2 keys API over HTTP/1.1",
  },
  consul: { peer: 'consul', loads: null, text: "Consul's leader, HTTP/1.1" },
  hraftd: { peer: 'hraftd', loads: PLAIN, text: "hraftd's leader, HTTP/1.1" },
  redis: { peer: 'redis', loads: PLAIN, text: 'one Redis, appendfsync always: no replication' },
  'nginx-file': {
    ...{ peer: 'nginx-file', loads: ['local-reads'] },
    text: 'an nginx that has each value as a file: what this machine can do at most',
  },
}

/** Whether the target has an answer to such a load. */
export function serves(target: Target, load: LoadName): boolean {
  const { loads } = TARGET_SPECS[target]
  return loads === null ? load !== 'edge-reads' : loads.includes(load)
}
