/** What nginx's configuration is rendered from. */

import type { MemberAddress } from '../node/node-api.ts'

/** The part of a member that nginx needs to know. */
export type GatewayMember = Pick<MemberAddress, 'id' | 'address'>

export interface RenderOptions {
  /** `port` or `address:port` of the demo node's server */
  readonly listen: string
  readonly writeMode: 'proxy' | 'redirect'
  /** unix socket of the local agent */
  readonly socket: string
  /** directory that holds the demo node's logs, pid and temporary files */
  readonly prefix: string
  /** directory of the demo node's other configuration, `*.conf` of http level; need not exist */
  readonly sites: string
  /** directory of the cached status; its parent must exist */
  readonly cache: string
  /** which engine runs the bundles; QuickJS from njs 1.0.1 on */
  readonly engine: 'njs' | 'qjs'
  /** the bundle, made for that engine */
  readonly bundle: string
  /** `ngx_http_js_module.so`; null when nginx has it already */
  readonly jsModule: string | null
  /** whom the workers run as; null where the master is not root, and cannot choose */
  readonly user: string | null
  readonly workers: number | 'auto'
  /** writes a second that one client address may send; null: no limit */
  readonly writeRate: number | null
  /** writes that may be under way at a time; more are refused before an agent has any work of them */
  readonly writesInFlight: number
  /** idle connections kept to each agent, per worker */
  readonly keepalive: number
  /** how long a forwarded write may take; above the agent's commit deadline */
  readonly forwardTimeoutMs: number
  readonly accessLog: boolean
  /** DNS servers for members given by name: `IP` or `IP:port` */
  readonly resolvers: readonly string[]
  /** host name → IP address, for names that keep their address as long as this rendering lives */
  readonly addresses: ReadonlyMap<string, string>
  /** null: all reads go to the agent */
  readonly edge: EdgeOptions | null
}

/** Reads out of nginx's own memory; needs nginx with `js_shared_dict_zone` (njs ≥ 0.8.0). */
export interface EdgeOptions {
  /** of the memory, as nginx writes sizes: `64m` */
  readonly size: string
  /** unix socket where nginx takes what the agent sends; nobody but the agent may reach its directory */
  readonly socket: string
  /** the njs bundle of these reads; edge-fill.js and edge-wrote.js are beside it */
  readonly bundle: string
  /** how old an answer to `?stale` may be, ms */
  readonly staleMaxMs: number
}

export interface RenderInput {
  /** relative file name → text with `{{name}}` where something belongs */
  readonly templates: ReadonlyMap<string, string>
  readonly self: string
  readonly members: readonly GatewayMember[]
  readonly options: RenderOptions
}
