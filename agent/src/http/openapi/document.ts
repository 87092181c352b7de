import { z } from 'zod'
import { ACL_OPERATIONS } from './acl.ts'
import { problem } from './answers.ts'
import { CLUSTER_OPERATIONS } from './cluster.ts'
import { CONSUL_OPERATIONS } from './consul.ts'
import { HEALTH_OPERATIONS } from './health.ts'
import { KEY_OPERATIONS } from './keys.ts'
import type { Meaning, Operation, Parameter } from './operation.ts'
import { SESSION_OPERATIONS } from './sessions.ts'

const OPERATIONS: readonly Operation[] = [
  ...KEY_OPERATIONS,
  ...CONSUL_OPERATIONS,
  ...SESSION_OPERATIONS,
  ...HEALTH_OPERATIONS,
  ...CLUSTER_OPERATIONS,
  // The last: from then on the others are refused without a token.
  ...ACL_OPERATIONS,
]

const TAGS = {
  keys: 'Keys, as the first program of this name had them.',
  consul: "Consul's KV API.",
  acl: "Tokens. On the agents' own ports only.",
  cluster: "The members. On the agents' own ports only.",
  health: 'For load balancers, gateways and operators.',
} as const satisfies Record<Operation['tag'], string>

const PROBLEM = { $ref: '#/components/schemas/Problem' }

/** The OpenAPI 3.1 document of the routes. `x-examples` of an operation are requests that a test has sent. */
export function openApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: shown(operation) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'raft-nginx',
      version,
      license: { name: 'MIT', identifier: 'MIT' },
      description:
        'Each answer of an agent has X-Raft-Index, X-Raft-Term, X-Raft-Node and X-Raft-Leader. ' +
        'A 200 of a write happened; a 4xx, 421 or 503 never will; of a 504 nobody knows.',
    },
    security: [{}, { bearer: [] }, { consul: [] }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: { Problem: schemaOf(problem, 'output') },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        consul: { type: 'apiKey', in: 'header', name: 'X-Consul-Token' },
      },
    },
  }
}

function shown(operation: Operation): object {
  const { method, path, tag, summary, parameters = [], body, answers, examples } = operation
  const content = (type: string, schema: object) => ({ content: { [type]: { schema } } })
  return {
    operationId: `${method} ${path}`.replace(/[^a-z]+([a-z]?)/gi, (_all, next) =>
      next.toUpperCase(),
    ),
    tags: [tag],
    summary,
    parameters: parameters.map(parameterOf),
    ...(body && {
      requestBody: {
        required: body.required ?? true,
        ...content(body.type, schemaOf(body.schema, 'input')),
      },
    }),
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, meaning]) => [status, responseOf(status, meaning)]),
    ),
    'x-examples': examples.map(example => ({ target: path, ...example })),
  }
}

function parameterOf({ name, in: where, description, schema }: Parameter): object {
  return {
    name,
    in: where,
    description,
    required: where === 'path',
    ...(schema === undefined
      ? { schema: { type: 'string' }, ...(where === 'query' && { allowEmptyValue: true }) }
      : { schema: schemaOf(schema, 'input') }),
  }
}

function responseOf(status: string, { description, content }: Meaning): object {
  if (content === null) return { description }
  if (content !== undefined) {
    const { type, schema } = content
    return { description, content: { [type]: { schema: schemaOf(schema, 'output') } } }
  }
  if (Number(status) < 400) return { description }
  return { description, content: { 'application/problem+json': { schema: PROBLEM } } }
}

/** Without the dialect's name, which the whole document has. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io })
  return rest
}
