/** The renderer's command line, and the member list that it names. */

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { GatewayMember } from './render-input.ts'

export const USAGE = `Renders nginx's configuration for one node, tests it with nginx -t, and puts it in place.

usage: render-main.js (--config agent.json | --members list.json --node ID --socket PATH)
                      (--prefix DIR --listen [ADDRESS:]PORT | --drop-in DIR) [options]

  --config FILE        the agent's configuration: node_id, nodes, server.socket
  --members FILE       only the member list: [{"id", "address"}], or {"nodes": [...]}
  --node ID            this node
  --socket PATH        unix socket of this node's agent
  --prefix DIR         a node of its own: nginx.conf, logs, pid and temporary files below DIR;
                       start it with: nginx -p DIR -c nginx.conf
  --listen [ADDR:]PORT where that node's clients come in
  --sites DIR          whose *.conf, of http level, that node serves as well (default: sites below the prefix)
  --drop-in DIR        for an nginx that runs already, usually /etc/nginx: conf.d/raft-nginx.conf and
                       snippets/raft-nginx/; add "include snippets/raft-nginx/server.conf;" to a server
  --write-mode MODE    proxy (default) or redirect
  --write-rate N       writes a second for one client address; 0 = no limit
                       (default: 0 with --prefix, 1000 with --drop-in)
  --writes-in-flight N writes under way at a time, of all clients; more get 503 (default: 256)
  --resolver IP,...    DNS servers for members given by name (default: those of /etc/resolv.conf)
  --resolve SECONDS    look names up now, for so long, and keep connections to what was found; for names whose
                       address stays; those not found are looked up at run time (default: 0 = do not)
  --cache DIR          where nginx keeps the cached status (default: below the prefix, or nginx's own state)
  --js-engine njs|qjs  what runs our scripts (default njs); qjs, QuickJS, needs njs 1.0.1 or later, and costs less
  --bundle FILE        the bundle (default: build/njs/gateway.js of this package, or build/qjs/gateway.js)
  --edge-reads SIZE    answer reads that may be old out of nginx's own memory, of so many megabytes such as 64m:
                       needs nginx with js_shared_dict_zone (njs 0.8 or later); off = do not (default); auto =
                       64m where this nginx can
  --edge-socket PATH   where nginx takes the rows from the agent, the agent's edge.socket; its directory must be
                       closed to others (default: what --config says, else run/edge.sock below the prefix)
  --edge-bundle FILE   the njs bundle of these reads (default: edge.js beside --bundle), with edge-fill.js and
                       edge-wrote.js beside it
  --edge-stale-max S   how many seconds old an answer to ?stale may be (default 3600)
  --forward-timeout MS how long a forwarded write may take (default 15000)
  --workers N|auto     of the prefix's nginx (default 1)
  --user NAME          of its workers, where root starts it (default: root's own; others cannot choose)
  --access-log         write one, buffered (default: none)
  --nginx FILE         nginx's binary (default: nginx, as found in PATH or /usr/sbin)
  --check              test only, change nothing
  --reload             tell the running nginx afterwards
`

const OPTIONS = {
  config: { type: 'string' },
  members: { type: 'string' },
  node: { type: 'string' },
  socket: { type: 'string' },
  prefix: { type: 'string' },
  listen: { type: 'string' },
  sites: { type: 'string' },
  'drop-in': { type: 'string' },
  'write-mode': { type: 'string', default: 'proxy' },
  'write-rate': { type: 'string' },
  'writes-in-flight': { type: 'string', default: '256' },
  resolver: { type: 'string' },
  resolve: { type: 'string', default: '0' },
  cache: { type: 'string' },
  'js-engine': { type: 'string', default: 'njs' },
  bundle: { type: 'string' },
  'edge-reads': { type: 'string', default: 'off' },
  'edge-socket': { type: 'string' },
  'edge-bundle': { type: 'string' },
  'edge-stale-max': { type: 'string', default: '3600' },
  'forward-timeout': { type: 'string', default: '15000' },
  workers: { type: 'string', default: '1' },
  user: { type: 'string' },
  'access-log': { type: 'boolean', default: false },
  nginx: { type: 'string' },
  check: { type: 'boolean', default: false },
  reload: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

export type CommandLine = ReturnType<typeof parseCommandLine>

/** @throws TypeError for an option that does not exist */
export function parseCommandLine(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS }).values
}

/** What a member list or the agent's configuration says; null where it says nothing. */
export interface Described {
  readonly node: string | null
  readonly members: readonly GatewayMember[]
  readonly socket: string | null
  readonly edgeSocket: string | null
}

/** @throws Error that names the file and what is missing in it */
export function readDescription(file: string): Described {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new Error(`read ${file}`, { cause })
  }
  const nodes = Array.isArray(value) ? value : field(value, 'nodes')
  if (!Array.isArray(nodes)) throw new Error(`${file}: no list "nodes"`)
  const members = nodes.map((node: unknown, at) => {
    const id = text(field(node, 'id'))
    const address = text(field(node, 'address'))
    if (id === null) throw new Error(`${file}: nodes[${at}].id is not a string`)
    if (address === null) throw new Error(`${file}: nodes[${at}].address is not a string`)
    return { id, address } as GatewayMember
  })
  // as the agent does: relative to its configuration
  const located = (given: string | null) =>
    given === null ? null : path.resolve(path.dirname(file), given)
  return {
    // the agent, too, takes the only one for itself
    node: text(field(value, 'node_id')) ?? (members.length === 1 ? (members[0]?.id ?? null) : null),
    members,
    socket: located(text(field(field(value, 'server'), 'socket'))),
    edgeSocket: located(text(field(field(value, 'edge'), 'socket'))),
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as Record<string, unknown>)[name]
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
