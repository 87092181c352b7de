import t, { type Test } from 'tap'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { openApi } from '../../src/http/openapi/document.ts'
import { METHODS, parseTarget, type Resource } from '../../src/http/raw-target.ts'
import { isRefusal } from '../../src/http/refusal.ts'
import { bootstrap, create, send } from './acl-parts.ts'
import { EventStream } from './event-stream.ts'
import { type Harness, serve } from './harness.ts'

/**
 * Who is let through, where tokens count: n none, r one that reads all keys, w one that writes them, m a monitor, a an
 * admin. By hand, and for every method of every resource that the router knows: one that is missing here fails.
 */
const LETS_IN: Readonly<Record<string, string>> = {
  'POST keys': 'wa',
  'GET key': 'rwa',
  'DELETE key': 'wa',
  'GET watch': 'rwa',
  'GET kv': 'rwa',
  'PUT kv': 'wa',
  'DELETE kv': 'wa',
  'PUT txn': 'wa',
  'PUT session-create': 'wa',
  // nobody's but the one's who made it
  'PUT session-renew': 'a',
  'PUT session-destroy': 'a',
  'GET session-info': 'wa',
  'GET session-node': 'wa',
  'GET session-list': 'wa',
  'GET livez': 'nrwma',
  'GET readyz': 'nrwma',
  'GET raft': 'nrwma',
  'GET status': 'rwma',
  'GET status-leader': 'nrwma',
  'GET status-peers': 'nrwma',
  'GET agent-self': 'rwma',
  'GET openapi': 'nrwma',
  'GET metrics': 'ma',
  'GET members': 'ma',
  'POST members': 'a',
  'POST join': 'a',
  'DELETE member': 'a',
  'POST promotion': 'a',
  'PUT voters': 'a',
  'POST leadership': 'a',
  'PUT structure': 'rwa',
  'GET backup': 'a',
  'GET acl-switch': 'a',
  'PUT acl-switch': 'a',
  // it refuses everybody by itself, but the first
  'POST acl-bootstrap': 'nrwma',
  'GET acl-tokens': 'a',
  'POST acl-tokens': 'a',
  'GET acl-token': 'a',
  'PUT acl-token': 'a',
  'DELETE acl-token': 'a',
  'GET elsewhere': 'nrwma',
  'GET unknown': 'nrwma',
  'GET fsm': 'nrwma',
}

interface Request {
  readonly target: string
  readonly body?: string
}

/** What the documentation shows, which covers the router; and what nobody documents. */
const REQUESTS: ReadonlyMap<string, Request> = new Map([
  ...documented(),
  ['GET elsewhere', { target: '/v1/catalog/nodes' }],
  ['GET unknown', { target: '/nothing' }],
  ['GET fsm', { target: '/fsm/sql/query' }],
  ['GET status', { target: '/status' }],
  ['GET watch', { target: '/v1/watch?prefix=' }],
  // As it is: the others still need tokens that count.
  ['PUT acl-switch', { target: '/v1/cluster/acl', body: '{"enabled":true}' }],
])

function documented(): [string, Request][] {
  interface Operation {
    readonly 'x-examples': readonly { target: string; status: number; body?: unknown }[]
  }
  const { paths } = openApi('1') as { paths: Record<string, Record<string, Operation>> }
  return Object.values(paths).flatMap(methods =>
    Object.entries(methods).flatMap(([method, { 'x-examples': examples }]) =>
      examples
        // of those with the same name the last counts: the first example that goes well
        .toReversed()
        .toSorted((one, other) => other.status - one.status)
        .flatMap(({ target, body }): [string, Request][] => {
          const parsed = parseTarget(target, HTTP_LIMITS)
          if (isRefusal(parsed)) return []
          const text = typeof body === 'string' ? body : JSON.stringify(body)
          const name = `${method.toUpperCase()} ${parsed.resource}`
          return [[name, { target, ...(text !== undefined && { body: text }) }]]
        }),
    ),
  )
}

const UNSAID: Readonly<Partial<Record<Resource, string>>> = {
  elsewhere: 'GET',
  unknown: 'GET',
  fsm: 'GET',
}

const ROUTES = Object.entries(METHODS).flatMap(([resource, methods]) =>
  (methods ?? UNSAID[resource as Resource] ?? '')
    .split(', ')
    .map(method => ({ resource, method, name: `${method} ${resource}` })),
)

async function letsIn(
  { tcp }: Harness,
  name: string,
  token: string | null,
): Promise<{ readonly status: number; readonly passed: boolean }> {
  const request = REQUESTS.get(name.replace('HEAD', 'GET'))
  if (request === undefined) throw new Error(`nothing is known of ${name}`)
  const { target, body } = request
  if (name === 'GET watch') {
    const stream = new EventStream(tcp, target, token === null ? {} : { 'X-Consul-Token': token })
    while (stream.status === null) await new Promise(resolve => setImmediate(resolve))
    stream.close()
    return { status: stream.status, passed: stream.status === 200 }
  }
  const line = `${name.split(' ')[0]} ${target}`
  const answer = await send(tcp, token, { line, ...(body !== undefined && { body }) })
  const told = `${answer.status} ${answer.body}`
  // HEAD has no body to tell by, and nothing that is read is refused with these for another reason.
  const refused = name.startsWith('HEAD')
    ? [401, 403].includes(answer.status)
    : /^40[13] .*(?:TOKEN_NEEDED|BAD_TOKEN|FORBIDDEN|Permission denied)/s.test(told)
  return { status: answer.status, passed: !refused }
}

async function roles(h: Harness): Promise<Record<string, string | null>> {
  const a = (await bootstrap(h.tcp)).secret
  const all = (access: 'read' | 'write') => ({ rules: [{ prefix: '', access }] })
  const r = (await create(h.tcp, a, all('read'))).secret
  const w = (await create(h.tcp, a, all('write'))).secret
  const m = (await create(h.tcp, a, { role: 'monitor' })).secret
  return { n: null, r, w, m, a }
}

t.test('every method of every route, asked for by every role', async t => {
  const h = await serve(t)
  h.node.outcome = { kind: 'unchanged' }
  const tokens = await roles(h)
  for (const { name, method } of ROUTES) {
    const expected =
      LETS_IN[name] ?? (method === 'HEAD' ? LETS_IN[name.replace('HEAD', 'GET')] : undefined)
    t.ok(expected !== undefined, `${name} has a policy here`)
    for (const [role, token] of Object.entries(tokens)) {
      const { status, passed } = await letsIn(h, name, token)
      t.equal(passed, expected?.includes(role), `${name} by ${role}: ${status}`)
      if (!passed) t.equal(status, token === null ? 401 : 403, `${name} by ${role}`)
    }
  }
})

t.test('nothing is said here of routes that there are not', async t => {
  const names = new Set(ROUTES.map(({ name }) => name))
  t.strictSame(
    Object.keys(LETS_IN).filter(name => !names.has(name)),
    [],
  )
})

t.test('where tokens do not count, none is needed', async (t: Test) => {
  const h = await serve(t)
  h.node.outcome = { kind: 'unchanged' }
  // The first token would make them count.
  for (const { name } of ROUTES.filter(({ resource }) => !resource.startsWith('acl-'))) {
    const { status, passed } = await letsIn(h, name, null)
    t.ok(passed, `${name}: ${status}`)
  }
})
