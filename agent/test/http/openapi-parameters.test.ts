/** What the document says of queries and headers, and what the routes read. */
import t, { type Test } from 'tap'
import { z } from 'zod'
import { NAMES } from '../../src/http/head.ts'
import { openApi } from '../../src/http/openapi/document.ts'
import { realAgent } from './real-agent.ts'

type Schema = Parameters<typeof z.fromJSONSchema>[0]

interface Operation {
  readonly operationId: string
  readonly parameters: readonly {
    readonly name: string
    readonly in: string
    readonly schema: Schema & { readonly type?: string }
  }[]
  readonly responses: Readonly<Record<string, unknown>>
  readonly 'x-examples': readonly {
    readonly target: string
    readonly headers?: Record<string, string>
    readonly body?: unknown
  }[]
}

const { paths } = openApi('1.2.3') as { paths: Record<string, Record<string, Operation>> }
const OPERATIONS = Object.values(paths).flatMap(methods =>
  Object.entries(methods).map(([method, operation]) => ({ method, operation })),
)

/** Nobody reads this name: it tells which of all maps is a request's query. */
const MARK = 'mark-of-this-test'
/** Read from queries to refuse it, and so in no document. */
const NEVER: ReadonlySet<string> = new Set(['token', MARK])
/** Looked at by what is common to several routes, and of no effect here. */
const IDLE: Readonly<Record<string, readonly string[]>> = {
  putVKvKey: ['keys', 'recurse'],
  deleteVKvKey: ['keys'],
  putVTxn: ['index', 'wait'],
}
/** Taken from the text of the query, since it may be no UTF-8; watch.test.ts has it. */
const RAW: Readonly<Record<string, readonly string[]>> = { getVWatch: ['prefix'] }

function namesIn({ parameters }: Operation, where: string): readonly string[] {
  return parameters.filter(parameter => parameter.in === where).map(({ name }) => name)
}

/** Which names are looked up in queries from now on; those of the request that runs. */
function listen(t: Test): Set<string> {
  const read = new Set<string>()
  const { get, has } = Map.prototype
  const note = (map: Map<unknown, unknown>, name: unknown): void => {
    if (has.call(map, MARK)) read.add(String(name))
  }
  Map.prototype.get = function (name) {
    note(this, name)
    return get.call(this, name)
  }
  Map.prototype.has = function (name) {
    note(this, name)
    return has.call(this, name)
  }
  t.teardown(() => Object.assign(Map.prototype, { get, has }))
  return read
}

function send(
  base: string,
  method: string,
  { target, headers = {}, body }: Operation['x-examples'][number],
): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const type = { 'Content-Type': 'application/json' }
  const init = { method: method.toUpperCase(), headers: { ...type, ...headers } }
  return fetch(base + target, { ...init, ...(text !== undefined && { body: text }) })
}

/** Plainly, and so that what only matters beside `stale` is looked at too. The mark is last: parsing asks as well. */
const WAYS = [MARK, `stale&${MARK}`]

function withQuery(target: string, query: string): string {
  return `${target}${target.includes('?') ? '&' : '?'}${query}`
}

function isRead(method: string, { operationId }: Operation): boolean {
  return method === 'get' || operationId === 'putVTxn'
}

t.test('a route reads the parameters that the document gives it, and no others', async t => {
  const { base } = await realAgent(t)
  const read = listen(t)
  for (const { method, operation } of OPERATIONS) {
    const { operationId } = operation
    read.clear()
    for (const example of operation['x-examples']) {
      for (const way of isRead(method, operation) ? WAYS : [MARK]) {
        const target = withQuery(example.target, way)
        const answer = await send(base, method, { ...example, target })
        await answer.body?.cancel()
      }
    }
    const idle = new Set([...NEVER, ...(IDLE[operationId] ?? [])])
    const found = [...read].filter(name => !idle.has(name))
    const told = namesIn(operation, 'query')
    t.strictSame([...found, ...(RAW[operationId] ?? [])].sort(), [...told].sort(), operationId)
  }
})

const NUMBERS = ['0', '1', '-1', '1.5', 'x', '', '1e3', '0x7', '9007199254740992']

/** The statuses of requests that differ in one parameter. */
async function tryNumbers(
  base: string,
  { method, operation }: (typeof OPERATIONS)[number],
  { name, in: where }: Operation['parameters'][number],
): Promise<ReadonlyMap<string, number>> {
  const example = operation['x-examples'].find(({ target }) => !target.includes('?'))
  const found = new Map<string, number>()
  if (example === undefined) return found
  for (const value of NUMBERS) {
    const query = `${name}=${encodeURIComponent(value)}&wait=1ms`
    const target = where === 'query' ? withQuery(example.target, query) : example.target
    const headers = { ...example.headers, ...(where === 'header' && { [name]: value }) }
    const answer = await send(base, method, { ...example, headers, target })
    await answer.body?.cancel()
    found.set(value, answer.status)
  }
  return found
}

t.test('what the schema of a number refuses is 400, and what it accepts is not', async t => {
  const { base } = await realAgent(t)
  let tried = 0
  for (const each of OPERATIONS) {
    for (const parameter of each.operation.parameters) {
      const { name, in: where, schema } = parameter
      // Flags have 64 bits, which is more than a number of JavaScript: consul-kv.test.ts has them.
      if (schema.type !== 'integer' || where === 'path' || name === 'flags') continue
      const number = z.fromJSONSchema(schema)
      for (const [value, status] of await tryNumbers(base, each, parameter)) {
        tried++
        const fits = /^[0-9]+$/.test(value) && number.safeParse(Number(value)).success
        t.equal(status !== 400, fits, `${each.operation.operationId} ${name}=${value}: ${status}`)
      }
    }
  }
  t.ok(tried > 50, `${tried} tried`)
})

/** Of every request, whatever it asks for, or of its body. */
const GENERAL: ReadonlySet<string> = new Set([
  'host',
  'content-type',
  'content-length',
  'content-encoding',
  'expect',
  'x-raft-passed-on',
  'authorization',
  'x-consul-token',
])

t.test('the headers in the document are those that are read', async t => {
  const told = OPERATIONS.flatMap(({ operation }) => namesIn(operation, 'header'))
  const lower = [...new Set(told.map(name => name.toLowerCase()))].sort()
  t.strictSame(lower, NAMES.filter(name => !GENERAL.has(name)).sort())
  for (const { operation } of OPERATIONS) {
    const once = namesIn(operation, 'header').includes('Idempotency-Key')
    t.equal(once, '422' in operation.responses, `${operation.operationId}: Idempotency-Key`)
    const condition = namesIn(operation, 'header').includes('If-Match')
    t.equal(condition, '412' in operation.responses, `${operation.operationId}: If-Match`)
  }
})
