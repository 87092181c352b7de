/** Where a write goes. Pure, so that it runs under Node's tests as well as inside nginx. */

/** What an agent says about the leader: its answer to `GET /status?brief=1`. */
export interface Brief {
  readonly me: { readonly id: string }
  /** `http`: `host:port` of the leader's agent; `gateway`: base URL of its nginx, null when it has none. */
  readonly leader: {
    readonly id: string
    readonly http: string
    readonly gateway: string | null
  } | null
  /** The agent itself takes writes to the leader. */
  readonly relay: boolean
}

export type Route =
  /** `name`: an `upstream` of the rendered configuration, or `host:port`; `to`: whose agent is there, or behind the relay */
  | { readonly kind: 'upstream'; readonly name: string; readonly to: string }
  | { readonly kind: 'redirect'; readonly url: string }
  | { readonly kind: 'none'; readonly code: 'NO_LEADER' | 'AGENT_DOWN'; readonly detail: string }

export interface Question {
  readonly brief: Brief | null
  /** `proxy` or `redirect` */
  readonly mode: string
  /** members that have an upstream of their own: `id=host:port`, joined by commas */
  readonly members: string
  /** the request's target as it came, never decoded */
  readonly target: string
}

const ID = /^[A-Za-z0-9._-]{1,64}$/
const HOST_PORT = /^[A-Za-z0-9.:[\]-]+:[0-9]{1,5}$/
const BASE_URL = /^https?:\/\/[A-Za-z0-9._~%:[\]/-]+$/

/**
 * The agent's answer, or null when it is not one. Checked by hand, since its parts go into nginx variables and a
 * Location header, and njs below 1.0.1 does not look for control characters there.
 */
export function parseBrief(status: number, text: string | undefined): Brief | null {
  if (status !== 200 || !text) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const me = field(value, 'me')
  const id = field(me, 'id')
  if (typeof id !== 'string') return null
  const leader = field(value, 'leader')
  const relay = field(value, 'relay') === true
  if (leader === null) return { me: { id }, leader: null, relay: relay }
  const leaderId = field(leader, 'id')
  const http = field(leader, 'http')
  if (!matches(ID, leaderId) || !matches(HOST_PORT, http)) return null
  const gateway = field(leader, 'gateway')
  return {
    me: { id },
    leader: { id: leaderId, http, gateway: matches(BASE_URL, gateway) ? gateway : null },
    relay: relay,
  }
}

export function decide(question: Question): Route {
  const brief = question.brief
  if (!brief) return { kind: 'none', code: 'AGENT_DOWN', detail: 'the local agent did not answer' }
  const leader = brief.leader
  if (!leader) return { kind: 'none', code: 'NO_LEADER', detail: 'an election is under way' }
  if (leader.id === brief.me.id) return upstream('raft_local', leader.id)
  // A leader without a public URL cannot be redirected to: its write is forwarded rather than refused.
  if (question.mode === 'redirect' && leader.gateway) {
    return { kind: 'redirect', url: leader.gateway.replace(/\/+$/, '') + question.target }
  }
  if (brief.relay) return upstream('raft_relay', leader.id)
  const rendered = `,${question.members},`.indexOf(`,${leader.id}=${leader.http},`) >= 0
  // A member that joined or moved since the last rendering is reached all the same, only without keepalive.
  return upstream(rendered ? `raft_to_${leader.id}` : leader.http, leader.id)
}

function upstream(name: string, to: string): Route {
  return { kind: 'upstream', name: name, to: to }
}

/**
 * Whether nothing of the request left on its last attempt.
 * @param bytesSent nginx's `$upstream_bytes_sent`: "246 : 0" = 421 from the first agent, then a refused connection.
 * Empty at the end: the name did not resolve, so there was no attempt.
 */
export function surelyUnsent(bytesSent: string | undefined): boolean {
  const parts = (bytesSent || '').split(/[,:]/)
  const last = (parts[parts.length - 1] || '').trim()
  return last === '' || last === '0'
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as Record<string, unknown>)[name]
}

function matches(pattern: RegExp, value: unknown): value is string {
  return typeof value === 'string' && pattern.test(value)
}
