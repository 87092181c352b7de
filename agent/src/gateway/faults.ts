/** What may become part of nginx's syntax. nginx reads `;`, `{`, `$`, quotes and spaces as its own. */

import { isIP, isIPv6 } from 'node:net'
import { AGENT_SOCKET_BYTES_MAX, SOCKET_PATH_BYTES_MAX } from '../os/socket-path.ts'
import { NODE_ID } from '../raft/types.ts'
import type { EdgeOptions, RenderInput, RenderOptions } from './render-input.ts'

const HOST = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/
const PATH = /^\/[A-Za-z0-9._/@+,=-]*$/
const USER = /^[a-z_][a-z0-9_-]{0,31}$/

/** Everything wrong with the input, in words; empty when nothing is. */
export function findFaults(input: RenderInput): string[] {
  return [...memberFaults(input), ...optionFaults(input.options)]
}

/** `host:port` in its parts, an IPv6 address without its brackets; null when it is not one. */
export function splitAddress(
  address: string,
): { readonly host: string; readonly port: number; readonly isIp: boolean } | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(address)
  if (match === null) return null
  const [, six, plain, digits] = match
  const port = Number(digits)
  if (port < 1 || port > 65_535) return null
  if (six !== undefined) return isIPv6(six) ? { host: six, port, isIp: true } : null
  if (plain === undefined) return null
  // The same on every host; nginx's resolver does not read /etc/hosts.
  if (plain === 'localhost') return { host: '127.0.0.1', port, isIp: true }
  if (isIP(plain) !== 0) return { host: plain, port, isIp: true }
  // What looks like an IPv4 address but is none would be asked of DNS: refused as the slip it is.
  if (/^[0-9.]+$/.test(plain) || !HOST.test(plain)) return null
  return { host: plain, port, isIp: false }
}

function memberFaults(input: RenderInput): string[] {
  const faults: string[] = []
  const seen = new Set<string>()
  for (const member of input.members) {
    const shown = JSON.stringify(member.id)
    if (!NODE_ID.test(member.id))
      faults.push(`node id ${shown}: 1-64 characters of A-Z a-z 0-9 . _ -`)
    // nginx compares the names of upstreams without regard to case
    const folded = member.id.toLowerCase()
    if (seen.has(folded)) faults.push(`node id ${shown}: twice in the list (case does not count)`)
    seen.add(folded)
    faults.push(...addressFaults(member.address, shown, input.options))
  }
  if (!input.members.some(member => member.id === input.self)) {
    faults.push(`node ${JSON.stringify(input.self)} is not in the member list`)
  }
  return faults
}

function addressFaults(address: string, owner: string, options: RenderOptions): string[] {
  const parts = splitAddress(address)
  if (parts === null) return [`address ${JSON.stringify(address)} of ${owner}: not host:port`]
  if (parts.isIp || options.addresses.has(parts.host) || options.resolvers.length > 0) return []
  return [`address ${JSON.stringify(address)} of ${owner}: a name, but there is no resolver for it`]
}

function optionFaults(options: RenderOptions): string[] {
  const faults: string[] = []
  const demand = (fine: boolean, fault: string) => {
    if (!fine) faults.push(fault)
  }
  demand(isListen(options.listen), `listen ${JSON.stringify(options.listen)}: not [address:]port`)
  demand(['njs', 'qjs'].includes(options.engine), 'js engine: njs or qjs')
  demand(['proxy', 'redirect'].includes(options.writeMode), 'write mode: proxy or redirect')
  for (const name of ['socket', 'prefix', 'sites', 'cache', 'bundle'] as const)
    demandPath(name, options[name])
  if (options.jsModule !== null) demandPath('js module', options.jsModule)
  const socketFits = Buffer.byteLength(options.socket) <= AGENT_SOCKET_BYTES_MAX
  demand(socketFits, `socket: longer than ${AGENT_SOCKET_BYTES_MAX} bytes`)
  if (options.user !== null) demand(USER.test(options.user), 'user: not a user name')
  if (options.workers !== 'auto')
    demand(isWhole(options.workers, 1, 1024), 'workers: auto or 1-1024')
  if (options.writeRate !== null) {
    demand(isWhole(options.writeRate, 1, 1_000_000), 'write rate: 1-1000000 a second')
  }
  demand(isWhole(options.writesInFlight, 1, 65_535), 'writes in flight: 1-65535')
  demand(isWhole(options.keepalive, 1, 65_535), 'keepalive: 1-65535 connections')
  demand(isWhole(options.forwardTimeoutMs, 1, 3_600_000), 'forward timeout: 1-3600000 ms')
  for (const server of options.resolvers) {
    const fine = isIP(server) !== 0 || splitAddress(server)?.isIp === true
    demand(fine, `resolver ${JSON.stringify(server)}: not an IP address, with or without a port`)
  }
  for (const [name, ip] of options.addresses) {
    demand(isIP(ip) !== 0, `address ${JSON.stringify(ip)} of ${JSON.stringify(name)}: not an IP`)
  }
  if (options.edge !== null) edgeFaults(options.edge)
  return faults

  function edgeFaults(edge: EdgeOptions): void {
    demandPath('edge socket', edge.socket)
    demandPath('edge bundle', edge.bundle)
    const fits = Buffer.byteLength(edge.socket) <= SOCKET_PATH_BYTES_MAX
    demand(fits, `edge socket: longer than ${SOCKET_PATH_BYTES_MAX} bytes`)
    demand(/^[1-9][0-9]{0,6}m$/.test(edge.size), 'edge size: megabytes like 64m')
    demand(isWhole(edge.staleMaxMs, 1, 86_400_000), 'edge stale time: 1 ms to a day')
  }

  function demandPath(name: string, path: string): void {
    const fault = `${name} ${JSON.stringify(path)}: an absolute path of A-Z a-z 0-9 . _ / @ + , = -`
    demand(PATH.test(path), fault)
  }
}

function isListen(listen: string): boolean {
  if (/^[0-9]{1,5}$/.test(listen)) return isWhole(Number(listen), 1, 65_535)
  return splitAddress(listen) !== null
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most
}
