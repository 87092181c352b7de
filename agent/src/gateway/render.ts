/** From the member list to nginx's configuration. Pure: templates and facts in, texts out. */

import { isIPv6 } from 'node:net'
import { dirname, join } from 'node:path'
import { relayPath } from '../os/socket-path.ts'
import { findFaults, splitAddress } from './faults.ts'
import type { GatewayMember, RenderInput, RenderOptions } from './render-input.ts'

export type Rendering =
  | { readonly kind: 'rendered'; readonly files: ReadonlyMap<string, string> }
  /** all faults at once, in words */
  | { readonly kind: 'rejected'; readonly faults: readonly string[] }

/** What must be set, unless the caller knows better. */
export const DEFAULTS = {
  writeMode: 'proxy',
  workers: 1,
  writeRate: null,
  writesInFlight: 256,
  keepalive: 256,
  forwardTimeoutMs: 15_000,
  accessLog: false,
  resolvers: [],
  addresses: new Map<string, string>(),
  edge: null,
  engine: 'njs',
} as const satisfies Partial<RenderOptions>

/** Beside the bundle of edge reads: what fills the memory that they read, and what tells them of writes. */
const FILL_BUNDLE = 'edge-fill.js'
const WROTE_BUNDLE = 'edge-wrote.js'

/** Files that belong to reads out of nginx's memory. */
const EDGE_ONLY = /(?:^|\/)edge-[^/]*$/

/** Fills the templates, after a check of everything that would become part of nginx's syntax. */
export function render(input: RenderInput): Rendering {
  const faults = findFaults(input)
  if (faults.length > 0) return { kind: 'rejected', faults }
  const values = valuesOf(input)
  const files = new Map<string, string>()
  for (const [name, template] of input.templates) {
    if (input.options.edge === null && EDGE_ONLY.test(name)) continue
    files.set(name, fill(name, template, values))
  }
  return { kind: 'rendered', files }
}

/** @throws Error for a placeholder that nothing fills: a template and this file disagree */
function fill(name: string, template: string, values: ReadonlyMap<string, string>): string {
  return template.replace(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values.get(key)
    if (value === undefined) throw new Error(`${name}: nothing fills {{${key}}}`)
    return value
  })
}

function valuesOf(input: RenderInput): ReadonlyMap<string, string> {
  const { options } = input
  const peers = upstreamsOf(input)
  return new Map([
    ['load_module', options.jsModule === null ? '' : `load_module ${options.jsModule};`],
    ['user', options.user === null ? '' : `user ${options.user};`],
    ['workers', String(options.workers)],
    ['prefix', options.prefix],
    ['sites', options.sites],
    ['access_log', accessLogOf(options)],
    ['listen', options.listen],
    ...importsOf(options),
    ['cache', options.cache],
    ['socket', options.socket],
    ['relay', relayPath(options.socket)],
    ['keepalive', String(options.keepalive)],
    ['upstreams', [...peers].map(([id, server]) => upstream(id, server, options)).join('\n')],
    ['leaders', [...leaders(input.self), ...[...peers.keys()].map(toLeader)].join('\n    ')],
    [
      'members',
      input.members
        .filter(each => peers.has(each.id))
        .map(idAndAddress)
        .join(','),
    ],
    ['write_mode', options.writeMode],
    ['forward_timeout', `${options.forwardTimeoutMs}ms`],
    ['resolver', resolverOf(options)],
    ['limit_zone', limitZoneOf(options)],
    ['limit', limitOf(options)],
    ['writes_in_flight', String(options.writesInFlight)],
    ...edgeValues(options.edge),
  ])
}

/**
 * Which members get an upstream of their own, with kept connections: id → `IP:port`. nginx below 1.27 does not start
 * when a name in an upstream does not resolve, and never looks again when it did. A member that is only known by name
 * is therefore forwarded to by that name, looked up at run time, without kept connections.
 */
function upstreamsOf(input: RenderInput): ReadonlyMap<string, string> {
  const upstreams = new Map<string, string>()
  for (const member of input.members) {
    if (member.id === input.self) continue
    const address = splitAddress(member.address)
    if (address === null) continue
    const fixed = address.isIp ? address.host : input.options.addresses.get(address.host)
    if (fixed !== undefined) upstreams.set(member.id, `${bracketed(fixed)}:${address.port}`)
  }
  return upstreams
}

/** Patterns, since nginx's map takes no notice of case in words, and some of them for its own. */
function leaders(self: string): readonly string[] {
  // Whoever the relay is told of it finds, members that joined since this rendering too.
  return [`"~^(?:yes)? ${pattern(self)}$" raft_local;`, '"~^yes [A-Za-z0-9._-]+$" raft_relay;']
}

function toLeader(id: string): string {
  return `"~^ ${pattern(id)}$" raft_to_${id};`
}

function pattern(id: string): string {
  return id.replaceAll('.', '\\.')
}

/** As the agents name it: what the gateway compares. */
function idAndAddress({ id, address }: GatewayMember): string {
  return `${id}=${address}`
}

/** An IPv6 address as nginx wants it; anything else as it is. */
function bracketed(address: string): string {
  return isIPv6(address) ? `[${address}]` : address
}

function upstream(id: string, server: string, options: RenderOptions): string {
  const kept = `keepalive ${options.keepalive}; keepalive_requests 1000000; keepalive_timeout 55s;`
  return `upstream raft_to_${id} { server ${server} max_fails=0; ${kept} }`
}

function accessLogOf(options: RenderOptions): string {
  if (!options.accessLog) return 'access_log off;'
  return `access_log ${options.prefix}/logs/access.log combined buffer=64k flush=1s;`
}

function resolverOf(options: RenderOptions): string {
  if (options.resolvers.length === 0) return ''
  // A container comes back with another address: names are not believed for longer than 5s.
  const servers = options.resolvers.map(bracketed).join(' ')
  return `resolver ${servers} valid=5s ipv6=off; resolver_timeout 2s;`
}

function edgeValues(edge: RenderOptions['edge']): [string, string][] {
  const included = (name: string) =>
    edge === null ? '' : `include snippets/raft-nginx/edge-${name}.conf;`
  return [
    ['edge_http', included('http')],
    ['edge_read', included('read')],
    ['edge_read_kv', included('read-kv')],
    ['edge_server', included('server')],
    ['edge_size', edge?.size ?? ''],
    ['edge_socket', edge?.socket ?? ''],
    ['edge_stale_max_ms', String(edge?.staleMaxMs ?? 0)],
  ]
}

/**
 * Each location of ours imports what it runs. At a higher level QuickJS would run the operator's scripts too, and the njs
 * engine runs the top level of whatever is imported above a location at each of its requests.
 */
function importsOf({ engine, bundle, edge }: RenderOptions): [string, string][] {
  const own = (name: string, file: string) =>
    `${engine === 'qjs' ? 'js_engine qjs; ' : ''}js_import ${name} from ${file};`
  const beside = (name: string, file: string) =>
    edge === null ? '' : own(name, join(dirname(edge.bundle), file))
  const fill = beside('raft_fill', FILL_BUNDLE)
  const wrote = beside('raft_wrote', WROTE_BUNDLE)
  return [
    ['js', own('raft', bundle)],
    ['js_edge', edge === null ? '' : own('raft_edge', edge.bundle)],
    ['js_fill', fill],
    ['edge_wrote', edge === null ? '' : `${wrote} js_header_filter raft_wrote.wrote;`],
  ]
}

function limitZoneOf(options: RenderOptions): string {
  if (options.writeRate === null) return ''
  return [
    'map $raft_is_write $raft_writer { default ""; 1 $binary_remote_addr; }',
    `limit_req_zone $raft_writer zone=raft_writes:1m rate=${options.writeRate}r/s;`,
  ].join('\n')
}

function limitOf(options: RenderOptions): string {
  if (options.writeRate === null) return '# no limit on writes: rendered without a write rate'
  return `limit_req zone=raft_writes burst=${2 * options.writeRate} nodelay; limit_req_status 429;`
}
