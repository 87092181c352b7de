import { isIPv4, isIPv6 } from 'node:net'
import { parseHostPort } from '../lib/host-port.ts'
import { type Fault, show } from './fault.ts'
import type { Settings } from './settings.ts'
import { isObject } from './sources.ts'

/** What no setting can be checked for alone; a setting that is faulty itself is left out. */
export function crossFaults(settings: Partial<Settings>, rawNodes: unknown): readonly Fault[] {
  return [
    ...duplicateFaults(rawNodes),
    ...idFaults(settings),
    ...dialFaults(settings),
    ...joinFaults(settings),
    ...countFaults(settings),
    ...timeFaults(settings),
    ...limitFaults(settings),
    ...peerFaults(settings),
  ]
}

/** On the rows as they were given, so that a fault in one does not hide those of others. */
function duplicateFaults(rawNodes: unknown): readonly Fault[] {
  const rows = Array.isArray(rawNodes) ? rawNodes.map(row => (isObject(row) ? row : {})) : []
  const seen = new Map<string, string>()
  const faults: Fault[] = []
  for (const [at, row] of rows.entries()) {
    for (const key of ['id', 'address', 'raft_bind', 'gateway'] as const) {
      const value = row[key]
      if (typeof value !== 'string') continue
      const what = `${key === 'address' || key === 'raft_bind' ? 'port' : key} ${value}`
      const where = seen.get(what)
      if (where === undefined) seen.set(what, `nodes[${at}].${key}`)
      else faults.push({ path: ['nodes', at, key], problem: `is ${show(value)}, as is ${where}` })
    }
  }
  return faults
}

function idFaults(settings: Partial<Settings>): readonly Fault[] {
  const { node_id, nodes = [] } = settings
  const path = ['node_id']
  const ids = nodes.map(node => node.id)
  if (ids.length === 0 || !Object.hasOwn(settings, 'node_id')) return []
  if (node_id === undefined) {
    if (ids.length === 1) return []
    return [{ path, problem: `is missing: which of ${ids.join(', ')} is this agent?` }]
  }
  if (ids.includes(node_id)) return []
  return [{ path, problem: `must be one of ${ids.join(', ')}, is ${show(node_id)}` }]
}

function joinFaults(settings: Partial<Settings>): readonly Fault[] {
  const { join, voter, node_id, nodes = [] } = settings
  if (join === undefined) {
    if (voter !== false) return []
    const problem =
      'is false, which only a node with `join` can be: the `nodes` of a new cluster all vote'
    return [{ path: ['voter'], problem }]
  }
  const faults: Fault[] = []
  for (const key of ['bootstrap_expect', 'single_node'] as const) {
    if (settings[key] === undefined || settings[key] === false) continue
    const problem = 'must not be given beside `join`: it forms a cluster, and this node enters one'
    faults.push({ path: [key], problem })
  }
  const own = nodes.find(node => node.id === node_id) ?? nodes[0]
  const at = join.indexOf(own?.address ?? '')
  if (at === -1) return faults
  return [...faults, { path: ['join', at], problem: `is ${show(join[at])}, which is this node` }]
}

function dialFaults({ nodes = [], join }: Partial<Settings>): readonly Fault[] {
  if (nodes.length < 2 && join === undefined) return []
  const faults: Fault[] = []
  for (const [at, node] of nodes.entries()) {
    for (const key of ['address', 'raft_bind'] as const) {
      const host = parseHostPort(node[key])?.host ?? ''
      if (!['0.0.0.0', '::'].includes(host)) continue
      const listen = key === 'address' ? 'server.address' : 'transport.address'
      const problem = `must be an address that the other nodes can dial, is ${show(node[key])}; to listen on all interfaces set ${listen}`
      faults.push({ path: ['nodes', at, key], problem })
    }
  }
  return faults
}

function countFaults(settings: Partial<Settings>): readonly Fault[] {
  const { bootstrap_expect: expected, single_node: single, nodes, join } = settings
  if (nodes === undefined || join !== undefined) return []
  const faults: Fault[] = []
  // The earlier program's own example asks for one node and expects three: the former decides there too.
  if (expected !== undefined && single !== true && expected !== nodes.length) {
    const problem = `is ${expected}, but \`nodes\` lists ${nodes.length}: all of them together form the cluster, so the two must agree`
    faults.push({ path: ['bootstrap_expect'], problem })
  }
  if (single === true && nodes.length !== 1) {
    const problem = `is true, but \`nodes\` lists ${nodes.length}`
    faults.push({ path: ['single_node'], problem })
  }
  return faults
}

function timeFaults(settings: Partial<Settings>): readonly Fault[] {
  const { election_timeout_ms: election, heartbeat_interval_ms: heartbeat } = settings
  if (election === undefined || heartbeat === undefined || heartbeat * 3 <= election) return []
  const problem = `must be at most a third of election_timeout_ms (${election}), is ${heartbeat}`
  return [{ path: ['heartbeat_interval_ms'], problem }]
}

function limitFaults({ limits }: Partial<Settings>): readonly Fault[] {
  if (limits === undefined || limits.value_bytes_max <= limits.body_bytes_max) return []
  const problem = `must be at most limits.body_bytes_max (${limits.body_bytes_max}), is ${limits.value_bytes_max}`
  return [{ path: ['limits', 'value_bytes_max'], problem }]
}

/** Others than agents could speak Raft to this node. */
function peerFaults(settings: Partial<Settings>): readonly Fault[] {
  const { peer_tls, peer_secret_file, peer_insecure = false, nodes = [], node_id } = settings
  const given = { peer_tls, peer_secret_file, peer_insecure: peer_insecure || undefined }
  const names = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : name))
  const [first, second] = names
  if (first !== undefined && second !== undefined) {
    return [{ path: [second], problem: `must not be given beside ${first}: choose one` }]
  }
  const own = nodes.findIndex(node => node_id === undefined || node.id === node_id)
  const bind = nodes[own]?.raft_bind
  if (first !== undefined || bind === undefined || !Object.hasOwn(settings, 'transport')) return []
  const address = settings.transport?.address
  const listened = address ?? bind
  if (isLoopback(parseHostPort(listened)?.host ?? '')) return []
  const path = address === undefined ? ['nodes', own, 'raft_bind'] : ['transport', 'address']
  const problem = `is ${show(listened)}, where strangers could take the place of an agent: give agents certificates (peer_tls, made by \`raft-nginx tls init\`) or a common secret (peer_secret_file); peer_insecure: true leaves it open`
  return [{ path, problem }]
}

/** Reached from this machine only. A name that could mean anything is not. */
function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  if (isIPv4(host)) return host.startsWith('127.')
  return isIPv6(host) && /^(?:0{0,4}:){2,7}0{0,3}1$/.test(host)
}
