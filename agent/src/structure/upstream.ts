/** From a list of servers in JSON to nginx's `upstream`. Pure. */

import { z } from 'zod'

/** A host or an address, with or without port, or a unix socket: nothing that nginx's syntax gives a meaning. */
const ADDRESS =
  /^(?:unix:\/[A-Za-z0-9._/@-]{1,100}|(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)$/
const DURATION = /^[0-9]{1,6}(?:ms|s|m|h)?$/

const count = z.int().min(0).max(1_000_000)
const server = z.strictObject({
  server: z.string().regex(ADDRESS),
  weight: z.int().min(1).max(65_535).optional(),
  max_conns: count.optional(),
  max_fails: count.optional(),
  fail_timeout: z.string().regex(DURATION).optional(),
  backup: z.boolean().optional(),
  down: z.boolean().optional(),
})
const entry = z.union([z.string().regex(ADDRESS), server])
const upstream = z.strictObject({
  servers: z.array(entry).max(1_000),
  method: z.enum(['least_conn', 'ip_hash', 'random']).optional(),
  keepalive: z.int().min(1).max(65_535).optional(),
})
const given = z.union([z.array(entry).max(1_000), upstream])

/** Nobody: nginx wants a server, and answers 502 where all are down. */
const NOBODY = '127.0.0.1:9 down'

/** @param text `["10.0.0.1:80", …]`, or an object with `servers`; an empty list is an upstream that answers 502 */
export function upstreamBlock(
  name: string,
  text: string,
): { readonly text: string } | { readonly fault: string } {
  const { success, data, error } = given.safeParse(parsed(text))
  if (!success) {
    const where = error.issues[0]?.path.join('.') ?? ''
    const at = where === '' ? '' : ` (at ${where})`
    return { fault: `is no JSON list of servers such as ["10.0.0.1:80"]${at}` }
  }
  const { servers, method, keepalive } = Array.isArray(data)
    ? { servers: data, method: undefined, keepalive: undefined }
    : data
  const lines = [
    ...(method === undefined ? [] : [`${method};`]),
    ...(servers.length === 0 ? [NOBODY] : servers.map(serverText)).map(one => `server ${one};`),
    ...(keepalive === undefined ? [] : [`keepalive ${keepalive};`]),
  ]
  return { text: `upstream ${name} {\n${lines.map(line => `    ${line}\n`).join('')}}\n` }
}

function serverText(one: z.infer<typeof entry>): string {
  if (typeof one === 'string') return one
  const { server, ...options } = one
  const words = Object.entries(options).flatMap(([option, value]) => {
    if (typeof value === 'boolean') return value ? [option] : []
    return value === undefined ? [] : [`${option}=${value}`]
  })
  return [server, ...words].join(' ')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
