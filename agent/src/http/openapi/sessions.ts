import { z } from 'zod'
import { sessionBody } from '../consul/session-json.ts'
import { json, TEXT } from './answers.ts'
import { header, inPath, JSON_TYPE, type Meaning, type Operation, query } from './operation.ts'
import { BLOCKING, IDEMPOTENCY, index, READ_LEVEL } from './parameters.ts'

const ID = inPath('id', 'The id that create gave.')
const NOBODY = '00000000-0000-4000-8000-000000000000'

const told = (description: string): Meaning => ({ description, content: TEXT })
const ERRORS: Readonly<Record<number, Meaning>> = {
  400: told('A parameter or body that cannot be.'),
  503: told('No leader, or too much is waiting: nothing happened.'),
  504: told('It may still happen.'),
}

const WRITE_ERRORS = {
  ...ERRORS,
  422: told('This Idempotency-Key was used for another request.'),
}

const session = z.looseObject({
  ID: z.string(),
  Name: z.string(),
  Node: z.string(),
  Behavior: z.enum(['release', 'delete']),
  TTL: z.string(),
  LockDelay: z.number().describe('Nanoseconds.'),
})
const SESSIONS = json(z.array(session))

export const SESSION_OPERATIONS: readonly Operation[] = [
  {
    method: 'put',
    path: '/v1/session/create',
    tag: 'consul',
    summary: 'A session, which may hold locks.',
    parameters: [IDEMPOTENCY],
    body: { type: JSON_TYPE, schema: sessionBody, required: false },
    answers: {
      200: { description: 'Its id.', content: json(z.looseObject({ ID: z.string() })) },
      ...WRITE_ERRORS,
    },
    examples: [
      { name: 'one that ends by itself', body: { Name: 'worker', TTL: '30s' }, status: 200 },
      { name: 'too short a life', body: { TTL: '1s' }, status: 400 },
    ],
  },
  {
    method: 'put',
    path: '/v1/session/renew/{id}',
    tag: 'consul',
    summary: 'It lives its TTL from now.',
    parameters: [ID, IDEMPOTENCY],
    answers: {
      200: { description: 'The session.', content: SESSIONS },
      404: told('There is none.'),
      ...WRITE_ERRORS,
    },
    examples: [{ name: 'none', target: `/v1/session/renew/${NOBODY}`, status: 404 }],
  },
  {
    method: 'put',
    path: '/v1/session/destroy/{id}',
    tag: 'consul',
    summary: 'It ends, and lets its locks go; fine when there is none.',
    parameters: [ID, IDEMPOTENCY],
    answers: { 200: { description: 'Done.', content: json(z.boolean()) }, ...WRITE_ERRORS },
    examples: [{ name: 'none', target: `/v1/session/destroy/${NOBODY}`, status: 200 }],
  },
  {
    method: 'get',
    path: '/v1/session/info/{id}',
    tag: 'consul',
    summary: 'One session, or none.',
    parameters: [ID, ...BLOCKING, ...READ_LEVEL],
    answers: { 200: { description: 'As a list.', content: SESSIONS }, ...ERRORS },
    examples: [{ name: 'none', target: `/v1/session/info/${NOBODY}`, status: 200 }],
  },
  {
    method: 'get',
    path: '/v1/session/node/{node}',
    tag: 'consul',
    summary: 'The sessions of a node.',
    parameters: [
      inPath('node', 'As create was told, or the agent that was asked.'),
      ...BLOCKING,
      ...READ_LEVEL,
    ],
    answers: { 200: { description: 'As a list.', content: SESSIONS }, ...ERRORS },
    examples: [{ name: 'of this agent', target: '/v1/session/node/node0', status: 200 }],
  },
  {
    method: 'get',
    path: '/v1/session/list',
    tag: 'consul',
    summary: 'All sessions.',
    parameters: [...BLOCKING, ...READ_LEVEL],
    answers: { 200: { description: 'As a list.', content: SESSIONS }, ...ERRORS },
    examples: [{ name: 'all', status: 200 }],
  },
  {
    method: 'get',
    path: '/v1/watch',
    tag: 'keys',
    summary:
      'Changes as they are applied, as Server-Sent Events; each once, in the order of the log.',
    parameters: [
      query('prefix', 'Of keys that begin with it.'),
      query('since', 'After this index; without it, from now on.', index),
      header(
        'Last-Event-ID',
        'Counts in place of since; an EventSource sends it by itself.',
        index,
      ),
    ],
    answers: {
      200: {
        description: 'Events change, bookmark and dropped; the id of each is its index.',
        content: { type: 'text/event-stream', schema: z.string() },
      },
      400: { description: 'No such index can be.' },
      410: { description: 'The changes after that index are gone.' },
    },
    examples: [
      { name: 'from now on', target: '/v1/watch?prefix=app%2F', status: 200 },
      { name: 'no index', target: '/v1/watch?since=x', status: 400 },
    ],
  },
]
