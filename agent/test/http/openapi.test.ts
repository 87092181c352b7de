import t, { type Test } from 'tap'
import { z } from 'zod'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { openApi } from '../../src/http/openapi/document.ts'
import { METHODS, parseTarget } from '../../src/http/raw-target.ts'
import { isRefusal } from '../../src/http/refusal.ts'
import { realAgent } from './real-agent.ts'

interface Example {
  readonly name: string
  readonly target: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
  readonly status: number
}

type Schema = Parameters<typeof z.fromJSONSchema>[0]

interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> }
  readonly responses: Record<
    string,
    { readonly content?: Record<string, { readonly schema: Schema }> }
  >
  readonly 'x-examples': readonly Example[]
}

interface Document {
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, Schema> }
}

/** Those of the machine that is plugged in, and those that nobody serves. */
const UNDOCUMENTED: ReadonlySet<string> = new Set(['fsm', 'unknown', 'elsewhere'])

const DOCUMENT = openApi('1.2.3') as Document
const OPERATIONS = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
)

/** The schema with what it refers to in the document's components. */
function schemaOf(schema: Schema): z.ZodType {
  const { $ref } = schema as { $ref?: string }
  const named = DOCUMENT.components.schemas[$ref?.split('/').at(-1) ?? '']
  return z.fromJSONSchema(named ?? schema)
}

t.test('every documented example, sent to a real agent, is answered as it says', async t => {
  const { base } = await realAgent(t)
  const served = await (await fetch(`${base}/openapi.json`)).json()
  t.strictSame(served, JSON.parse(JSON.stringify(DOCUMENT)), 'what is served is what is tested')
  for (const { method, operation } of OPERATIONS) {
    t.ok(operation['x-examples'].length > 0, `${operation.operationId} has examples`)
    for (const example of operation['x-examples']) {
      const name = `${operation.operationId}: ${example.name}`
      const answer = await send(base, method, operation, example)
      t.equal(answer.status, example.status, name)
      await compare(t, answer, { operation, name })
    }
  }
})

function send(
  base: string,
  method: string,
  { requestBody }: Operation,
  { target, headers, body }: Example,
): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const type = Object.keys(requestBody?.content ?? {})[0]
  return fetch(base + target, {
    method: method.toUpperCase(),
    headers: { ...(type && { 'Content-Type': type }), ...headers },
    ...(text !== undefined && { body: text }),
  })
}

/** Status, type and shape. */
async function compare(
  t: Test,
  answer: Response,
  { operation, name }: { readonly operation: Operation; readonly name: string },
): Promise<void> {
  const meaning = operation.responses[String(answer.status)]
  t.ok(meaning, `${name}: ${answer.status} is documented`)
  const [type, content] = Object.entries(meaning?.content ?? {})[0] ?? []
  if (type === 'text/event-stream') {
    t.match(answer.headers.get('content-type'), /^text\/event-stream/, name)
    await answer.body?.cancel()
    return
  }
  const received = await answer.text()
  if (type === undefined || content === undefined) {
    t.equal(received, '', `${name}: no body`)
    return
  }
  if (type !== '*/*') t.equal(answer.headers.get('content-type'), type, name)
  const value = type.includes('json') ? JSON.parse(received) : received
  t.same(schemaOf(content.schema).safeParse(value).error?.issues, undefined, `${name}: shape`)
}

t.test('an example that is answered well has a body that the schema accepts', async t => {
  for (const { operation } of OPERATIONS) {
    const content = Object.values(operation.requestBody?.content ?? {})[0]
    if (content === undefined) continue
    const schema = schemaOf(content.schema)
    for (const { name, body, status } of operation['x-examples']) {
      if (status < 300) t.ok(schema.safeParse(body).success, `${operation.operationId}: ${name}`)
    }
  }
})

t.test('the document and the routes are the same', async t => {
  const served = Object.entries(METHODS)
    .filter(([resource]) => !UNDOCUMENTED.has(resource))
    .flatMap(([resource, methods]) =>
      (methods ?? '')
        .split(', ')
        .filter(method => method !== 'HEAD')
        .map(method => `${method} ${resource}`),
    )
  const documented = OPERATIONS.flatMap(({ method, operation }) =>
    operation['x-examples'].flatMap(({ target }) => {
      const parsed = parseTarget(target, HTTP_LIMITS)
      return isRefusal(parsed) ? [] : [`${method.toUpperCase()} ${parsed.resource}`]
    }),
  )
  t.strictSame([...new Set(documented)].sort(), served.sort())
  const ids = OPERATIONS.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'each operation has a name of its own')
  for (const { path, operation } of OPERATIONS) {
    const inPath = operation.parameters.filter(parameter => parameter.in === 'path')
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1])
    t.strictSame(
      inPath.map(({ name }) => name),
      names,
      path,
    )
  }
})
