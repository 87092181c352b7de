import t, { type Test } from 'tap'
import handlers from '../src/gateway.ts'

interface Reply {
  readonly status: number
  readonly responseText?: string
}

function replyOf(leader: unknown): Reply {
  if (leader === undefined) return { status: 502 }
  return { status: 200, responseText: JSON.stringify({ me: { id: 'node0' }, leader }) }
}

/** nginx's request, as far as the handlers touch it; every call is kept. */
class Request {
  readonly asked: string[] = []
  readonly redirected: string[] = []
  readonly returned: Array<readonly [number, string | undefined]> = []
  readonly headersOut: Record<string, string> = {}
  readonly variables: Record<string, string | undefined>
  readonly #cached: Reply
  readonly #fresh: Reply

  /** @param leader as the cached answer has it */
  constructor(leader: unknown, variables: Record<string, string> = {}, fresh = leader) {
    const members = { raft_members: 'node1=10.0.0.1:1', request_uri: '/key?x' }
    this.variables = { ...members, raft_write_mode: 'proxy', ...variables }
    this.#cached = replyOf(leader)
    this.#fresh = replyOf(fresh)
  }

  async subrequest(uri: string) {
    this.asked.push(uri)
    return uri === '/_raft/status_fresh' ? this.#fresh : this.#cached
  }

  internalRedirect(uri: string): void {
    this.redirected.push(uri)
  }

  return(status: number, body?: string): void {
    this.returned.push([status, body])
  }
}

const LEADER = { id: 'node1', http: '10.0.0.1:1', gateway: 'http://one.example' }

t.test('a write asks the cached status and is forwarded', async t => {
  const r = new Request(LEADER)
  await handlers.write(r)
  t.strictSame(r.asked, ['/_raft/status'])
  t.strictSame(r.redirected, ['@raft_forward'])
  t.equal(r.variables.raft_upstream, 'raft_to_node1')
  t.equal(r.variables.raft_leader, 'node1')
  t.strictSame(r.returned, [])
})

t.test('a write in redirect mode is told where to go, for now only', async t => {
  const r = new Request(LEADER, { raft_write_mode: 'redirect' })
  await handlers.write(r)
  t.strictSame(r.returned, [[307, 'http://one.example/key?x']])
  t.equal(r.headersOut['Cache-Control'], 'no-store')
  t.strictSame(r.redirected, [])
})

t.test(
  'no redirect by a cached answer: two gateways that have some would send clients to and fro',
  async t => {
    const self = { id: 'node0', http: '10.0.0.0:1', gateway: 'http://zero.example' }
    const r = new Request(LEADER, { raft_write_mode: 'redirect' }, self)
    await handlers.write(r)
    t.strictSame(r.asked, ['/_raft/status', '/_raft/status_fresh'])
    t.strictSame(r.returned, [])
    t.equal(r.variables.raft_upstream, 'raft_local')
    t.strictSame(r.redirected, ['@raft_forward'])
  },
)

t.test('a 421 asks afresh, and only once; by then it forwards in every mode', async t => {
  const r = new Request(LEADER, { raft_write_mode: 'redirect' })
  await handlers.relearn(r)
  t.strictSame(r.asked, ['/_raft/status_fresh'])
  t.strictSame(r.redirected, ['@raft_forward'])
  await handlers.relearn(r)
  t.equal(r.asked.length, 1)
  t.strictSame(problemOf(t, r), [503, 'NO_LEADER', true])
})

t.test('an attempt that sent nothing is repeated once', async t => {
  const r = new Request(LEADER, { upstream_bytes_sent: '0' })
  await handlers.lost(r)
  t.strictSame(r.redirected, ['@raft_forward'])
  await handlers.lost(r)
  t.equal(r.redirected.length, 1)
  t.strictSame(problemOf(t, r), [503, 'NO_LEADER', true])
})

t.test('an attempt that sent something is never repeated', async t => {
  const r = new Request(LEADER, { upstream_bytes_sent: '0 : 250' })
  await handlers.lost(r)
  t.strictSame([r.asked, r.redirected], [[], []])
  t.strictSame(problemOf(t, r), [504, 'COMMIT_UNKNOWN', false])
  t.equal(r.headersOut['Retry-After'], undefined)
})

t.test('no leader and no agent: 503, to be repeated', async t => {
  const election = new Request(null)
  await handlers.write(election)
  t.strictSame(problemOf(t, election), [503, 'NO_LEADER', true])
  t.equal(election.headersOut['Retry-After'], '1')
  const silent = new Request(undefined)
  await handlers.write(silent)
  t.strictSame(problemOf(t, silent), [503, 'AGENT_DOWN', true])
  const read = new Request(undefined)
  handlers.agentDown(read)
  t.strictSame(problemOf(t, read), [503, 'AGENT_DOWN', true])
})

function problemOf(t: Test, r: Request): unknown[] {
  const [status, text] = r.returned.at(-1) ?? []
  const body = JSON.parse(text ?? '{}')
  t.equal(r.returned.length, 1, 'one answer')
  t.equal(r.headersOut['Content-Type'], 'application/problem+json')
  t.equal(body.status, status)
  return [status, body.code, body.retryable]
}
