import { createHash } from 'node:crypto'
import type { NetConnectOpts } from 'node:net'
import { Hono } from 'hono'
import t, { type Test } from 'tap'
import type { HttpLimits } from '../../src/http/limits.ts'
import { startHttp } from '../../src/http/server.ts'
import type { Routes } from '../../src/machine/plug-in/host.ts'
import type { Idempotency } from '../../src/machine/state-machine.ts'
import { NotServing } from '../../src/node/not-serving.ts'
import type { Outcome } from '../../src/node/outcome.ts'
import { asLogIndex, asNodeId, asTerm } from '../../src/raft/types.ts'
import { type Answer, request } from './raw-client.ts'
import { SimulatedNode } from './simulated-node.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const NONE = new Uint8Array(0)

/** node0, whose machine adds up what it is told. */
class SumNode extends SimulatedNode {
  sum = 0
  readonly idempotency: (Idempotency | null)[] = []

  override async propose(
    command: Uint8Array,
    idempotency: Idempotency | null = null,
  ): Promise<Outcome> {
    this.idempotency.push(idempotency)
    if (this.leader === null) return { kind: 'no-leader' }
    if (this.leader !== 'node0') return { kind: 'not-leader', leader: asNodeId(this.leader) }
    if (this.overloaded) return { kind: 'overloaded' }
    if (this.cutOff) return { kind: 'unknown' }
    const position = { index: asLogIndex(++this.applied), term: asTerm(3) }
    const by = Number(text(command))
    if (!Number.isSafeInteger(by)) {
      return { kind: 'applied', position, result: { kind: 'rejected', code: 'NOT_A_NUMBER' } }
    }
    this.sum += by
    const value = Buffer.from(`${this.sum}`)
    return { kind: 'applied', position, result: { kind: 'done', value } }
  }

  async ask(query: Uint8Array) {
    if (this.quarantine !== null) throw new NotServing(`this node is ${this.quarantine}`)
    if (this.broken) throw new Error('SQLITE_IOERR: /secret/path')
    const applied = { index: asLogIndex(this.applied), term: asTerm(3) }
    return { applied, value: Buffer.from(`${text(query)}${this.sum}`) }
  }
}

const routes: Routes = host =>
  new Hono()
    .get('/', async c => c.body(text(await host.query(c.req.raw, NONE))))
    .post('/add', async c => {
      const command = Buffer.from(await c.req.arrayBuffer())
      return c.body(text(await host.propose(c.req.raw, command)))
    })
    .post('/query', async c => {
      const query = Buffer.from(await c.req.arrayBuffer())
      return c.body(text(await host.query(c.req.raw, query)))
    })
    .get('/echo', c =>
      c.json({ url: c.req.url, host: host.status(), agent: c.req.header('x-own') }),
    )
    .get('/late', c => c.body('kept', 201, { 'Cache-Control': 'max-age=1' }))
    .get('/caught', async c => {
      const code = await host.propose(c.req.raw, Buffer.from('no')).catch(error => error.code)
      return c.text(`caught ${code}`)
    })

interface Served {
  readonly node: SumNode
  readonly errors: string[]
  ask(line: string, body?: string | Buffer, ...headers: string[]): Promise<Answer>
}

async function serve(
  t: Test,
  own: Routes | null = routes,
  limits: Partial<HttpLimits> = {},
): Promise<Served> {
  const node = new SumNode()
  const errors: string[] = []
  const http = await startHttp({
    node,
    plugIn: { name: 'sum', routes: own, query: query => node.ask(query) },
    server: { listen: '127.0.0.1:0', socket: null, socketMode: 0o660 },
    limits: { closeGraceMs: 100, closeDrainMs: 0, ...limits },
    version: '1.2.3',
    log: { info() {}, warn() {}, error: (_fields, message) => errors.push(message) },
  })
  t.teardown(() => http.close())
  const where: NetConnectOpts = { host: '127.0.0.1', port: http.port }
  return {
    node,
    errors,
    ask: (line, body = '', ...headers) => request(where, line, { body, headers }),
  }
}

const codeOf = (answer: Answer): string => {
  if (answer.headers.get('content-type') !== 'application/problem+json') return ''
  return `${answer.status} ${(JSON.parse(answer.body) as { code: string }).code}`
}

t.test('a command reaches the machine, and its result the client', async t => {
  const { ask, node } = await serve(t)
  const added = await ask('POST /fsm/sum/add', '40')
  t.equal(added.status, 200)
  t.equal(added.body, '40')
  t.equal(added.headers.get('x-raft-index'), '1', 'the entry of the command')
  t.equal(added.headers.get('x-raft-node'), 'node0')
  t.equal(added.headers.get('cache-control'), 'no-store')
  t.equal((await ask('POST /fsm/sum/add', '2')).body, '42')
  t.equal((await ask('GET /fsm/sum/')).body, '42')
  t.equal((await ask('GET /fsm/sum/?consistent')).body, '42')
  t.equal((await ask('POST /fsm/sum/query', 'sum ')).body, 'sum 42')
  const head = await ask('HEAD /fsm/sum/')
  t.equal(head.status, 200)
  t.equal(head.body, '')
  t.strictSame(node.idempotency, [null, null])
})

t.test('what the machine would answer is not served where it is known to be wrong', async t => {
  const { ask, node, errors } = await serve(t)
  node.quarantine = 'in quarantine'
  const answer = await ask('GET /fsm/sum/')
  t.equal(codeOf(answer), '503 NOT_SERVING')
  t.match(JSON.parse(answer.body), { detail: 'this node is in quarantine' })
  t.equal(codeOf(await ask('GET /fsm/sum/?consistent')), '503 NOT_SERVING')
  t.strictSame(errors, [])
})

t.test('Idempotency-Key names the command', async t => {
  const { ask, node } = await serve(t)
  await ask('POST /fsm/sum/add', '5', 'Idempotency-Key: once')
  const requestHash = createHash('sha256').update('5').digest()
  t.strictSame(node.idempotency, [{ key: 'once', requestHash }])
})

t.test('what did not happen is answered as on the routes of keys', async t => {
  const { ask, node } = await serve(t)
  const add = () => ask('POST /fsm/sum/add', '1').then(codeOf)
  t.equal(codeOf(await ask('POST /fsm/sum/add', 'many')), '422 NOT_A_NUMBER')
  t.equal((await ask('GET /fsm/sum/caught')).body, 'caught NOT_A_NUMBER')
  node.overloaded = true
  t.equal(await add(), '503 OVERLOADED')
  node.overloaded = false
  node.cutOff = true
  t.equal(await add(), '504 COMMIT_UNKNOWN')
  t.equal(codeOf(await ask('GET /fsm/sum/?consistent')), '503 NO_LEADER')
  t.equal((await ask('GET /fsm/sum/')).status, 200)
  node.cutOff = false
  node.leader = 'node1'
  const moved = await ask('POST /fsm/sum/add', '1')
  t.equal(codeOf(moved), '421 NOT_LEADER')
  t.equal(moved.headers.get('x-raft-leader'), 'node1')
  node.leader = null
  const nobody = await ask('POST /fsm/sum/add', '1')
  t.equal(codeOf(nobody), '503 NO_LEADER')
  t.equal(nobody.headers.get('retry-after'), '1')
  t.equal(node.sum, 0)
})

t.test('X-Raft-Min-Index waits, or says that it waited in vain', async t => {
  const { ask } = await serve(t)
  await ask('POST /fsm/sum/add', '1')
  t.equal((await ask('GET /fsm/sum/', '', 'X-Raft-Min-Index: 1')).body, '1')
  const late = await ask('GET /fsm/sum/', '', 'X-Raft-Min-Index: 2')
  t.equal(codeOf(late), '504 MIN_INDEX_NOT_REACHED')
})

t.test('the app sees its own paths, the query and the headers', async t => {
  const { ask } = await serve(t)
  const { body } = await ask('GET /fsm/sum/echo?a=%2F&b', '', 'X-Own: yes')
  t.strictSame(JSON.parse(body), {
    url: 'http://agent/echo?a=%2F&b',
    host: { node: 'node0', leader: 'node0', appliedIndex: 0 },
    agent: 'yes',
  })
  const late = await ask('GET /fsm/sum/late')
  t.strictSame([late.status, late.headers.get('cache-control')], [201, 'max-age=1'])
  t.equal((await ask('GET /fsm/sum/nowhere')).status, 404)
})

t.test('the limits of every request hold here too', async t => {
  const { ask, node } = await serve(t, routes, { bodyBytesMax: 64 })
  t.equal(codeOf(await ask('POST /fsm/sum/add', '1'.repeat(65))), '413 BODY_TOO_LARGE')
  t.equal(codeOf(await ask('POST /fsm/sum/../key', '1')), '400 BAD_TARGET')
  t.equal(
    codeOf(await ask('POST /fsm/sum/add', '1', 'Idempotency-Key: a b')),
    '400 BAD_IDEMPOTENCY_KEY',
  )
  t.equal(node.applied, 0)
})

t.test('a machine that fails a query fails that request only, and tells no secrets', async t => {
  const { ask, node, errors } = await serve(t, host => ({
    fetch: async request => new Response(Buffer.from(await host.query(request, NONE))),
  }))
  node.broken = true
  const failed = await ask('GET /fsm/sum/')
  t.equal(codeOf(failed), '500 INTERNAL')
  t.notMatch(failed.body, /secret/)
  t.strictSame(errors, ['a request failed'])
  node.broken = false
  t.equal((await ask('GET /fsm/sum/')).body, '0')
})

t.test('keys are not served where another machine runs, and /fsm/ only under its name', async t => {
  const { ask, node } = await serve(t)
  for (const line of ['POST /key', 'GET /key/a', 'DELETE /key/a']) {
    const answer = await ask(line, line.startsWith('POST') ? '{"a":"b"}' : '')
    t.equal(codeOf(answer), '501 NO_KEYS', line)
    t.match(answer.body, '/fsm/sum/')
  }
  t.equal(node.applied, 0)
  t.equal((await ask('GET /status')).status, 200)
  t.equal(codeOf(await ask('GET /fsm/other/')), '404 NOT_FOUND')
  t.equal(codeOf(await ask('GET /fsm/sum')), '404 NOT_FOUND')
  const { ask: without } = await serve(t, null)
  t.match((await without('GET /fsm/sum/')).body, 'no routes')
})
