import type { Dialect, Endpoint } from './job.ts'

/** Where the requests of one target go right now, and whose CPU they cost. */
export interface Aim {
  readonly dialect: Dialect
  readonly endpoint: Endpoint
  readonly serverPids: readonly number[]
}

/** Three servers that the bench has started. */
export interface Cluster {
  /** Finds the leader anew: it may have changed since the last point. */
  aimAt(target: Target): Promise<Aim>
  stop(): Promise<void>
}

/** What can be measured. The order is the table's. */
export const TARGETS = [
  'agent',
  'agent-socket',
  'gateway',
  'gateway-follower',
  'compared',
  'etcd-v2',
  'etcd-grpc',
] as const
export type Target = (typeof TARGETS)[number]

export const TARGET_TEXTS: Readonly<Record<Target, string>> = {
  agent: "the leader's agent, HTTP over loopback TCP",
  'agent-socket': "the leader's agent, HTTP over its unix socket",
  gateway: "nginx of the leader's node",
  'gateway-follower': "nginx of a follower's node, which takes writes to the leader (proxy mode)",
  compared: 'like agent, of another checkout (--compare)',
  'etcd-v2': "etcd's leader, v2 keys API over HTTP/1.1",
  'etcd-grpc': "etcd's leader, v3 API over gRPC",
}

export function isEtcd(target: Target): boolean {
  return target === 'etcd-v2' || target === 'etcd-grpc'
}

export const MEMBERS = [0, 1, 2] as const
