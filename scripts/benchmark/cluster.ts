import type { Dialect, Endpoint } from './job.ts'
import type { LoadName } from './loads.ts'

/** Where the requests of one target go right now, and whose CPU they cost. */
export interface Aim {
  readonly dialect: Dialect
  readonly endpoint: Endpoint
  readonly serverPids: readonly number[]
}

/** A write by HTTP that is answered 200 when it was done. */
export interface Attempt {
  readonly url: string
  readonly method: 'POST' | 'PUT'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Servers that the bench has started. */
export interface Cluster {
  /** Finds the leader anew: it may have changed since the last point. */
  aimAt(target: Target, load: LoadName): Promise<Aim>
  /** kill -9 of the leader. @returns how each of the others is asked to write */
  killLeader(): Promise<readonly Attempt[]>
  /** Starts what was killed; returns when all take part. */
  revive(): Promise<void>
  stop(): Promise<void>
}

/** What can be measured. The order is the table's. */
export const TARGETS = [
  'agent',
  'agent-socket',
  'gateway',
  'gateway-follower',
  'gateway-redirect',
  'edge',
  'compared',
  'etcd',
  'etcd-v2',
  'consul',
  'hraftd',
  'redis',
] as const
export type Target = (typeof TARGETS)[number]

/** Whose servers answer a target. */
export type Peer = 'ours' | 'compared' | 'etcd' | 'consul' | 'hraftd' | 'redis'

interface TargetSpec {
  readonly peer: Peer
  readonly text: string
  /** null: writes, and every kind of read but those from nginx's memory */
  readonly loads: readonly LoadName[] | null
}

const PLAIN: readonly LoadName[] = ['writes', 'writes-1k', 'writes-64k', 'local-reads']

export const TARGET_SPECS: Readonly<Record<Target, TargetSpec>> = {
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
  edge: {
    ...{ peer: 'ours', loads: ['edge-reads'] },
    text: "nginx of a follower's node, out of its own memory (nginx with njs 0.8 or later)",
  },
  compared: {
    ...{ peer: 'compared', loads: null },
    text: 'like agent, of another checkout (--compare)',
  },
  etcd: { peer: 'etcd', loads: null, text: "etcd's leader, v3 API over gRPC" },
  'etcd-v2': {
    ...{ peer: 'etcd', loads: PLAIN },
    text: "etcd's leader, v2 keys API over HTTP/1.1",
  },
  consul: { peer: 'consul', loads: null, text: "Consul's leader, HTTP/1.1" },
  hraftd: { peer: 'hraftd', loads: PLAIN, text: "hraftd's leader, HTTP/1.1" },
  redis: { peer: 'redis', loads: PLAIN, text: 'one Redis, appendfsync always: no replication' },
}

/** Whether the target has an answer to such a load. */
export function serves(target: Target, load: LoadName): boolean {
  const { loads } = TARGET_SPECS[target]
  return loads === null ? load !== 'edge-reads' : loads.includes(load)
}
