import { z } from 'zod'
import { HTTP_LIMITS } from '../limits.ts'
import { pairsBody } from '../pairs.ts'
import { EMPTY, json, WRITE_PROBLEMS } from './answers.ts'
import { inPath, JSON_TYPE, type Operation, query } from './operation.ts'
import { IDEMPOTENCY, MAX_STALE, MIN_INDEX } from './parameters.ts'

const KEY = inPath('key', 'Its bytes, percent-encoded; a slash is %2F.')

export const KEY_OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/key',
    tag: 'keys',
    summary: 'Set all pairs in one atomic write.',
    parameters: [IDEMPOTENCY],
    body: { type: JSON_TYPE, schema: pairsBody(HTTP_LIMITS) },
    answers: {
      200: { description: 'All of it is fsynced on a majority and applied here.', content: EMPTY },
      400: { description: 'No object of strings, a name twice, or a key that cannot be.' },
      413: { description: 'The body or a value is too long.' },
      415: { description: 'The body is not JSON in UTF-8.' },
      ...WRITE_PROBLEMS,
    },
    examples: [
      { name: 'two pairs', body: { user1: 'batman', user2: 'robin' }, status: 200 },
      {
        name: 'once, however often it is sent',
        headers: { 'Idempotency-Key': '5f1c7a52' },
        body: { user3: 'joker' },
        status: 200,
      },
      {
        name: 'the same key for another request',
        headers: { 'Idempotency-Key': '5f1c7a52' },
        body: { user3: 'penguin' },
        status: 422,
      },
      { name: 'values are strings', body: { user1: 7 }, status: 400 },
    ],
  },
  {
    method: 'get',
    path: '/key/{key}',
    tag: 'keys',
    summary: 'Read a key.',
    parameters: [
      KEY,
      query('consistent', 'Linearizable, on any node; no value.'),
      MAX_STALE,
      MIN_INDEX,
    ],
    answers: {
      200: {
        description: 'The key and its value; a missing key has the empty string.',
        content: json(z.record(z.string(), z.string())),
      },
      400: { description: 'A key that cannot be.' },
      503: { description: 'No leader has confirmed the read in time.' },
      504: { description: 'The entry of X-Raft-Min-Index is not here in time.' },
    },
    examples: [
      { name: 'what was written', target: '/key/user1', status: 200 },
      { name: 'linearizable', target: '/key/user1?consistent', status: 200 },
      { name: 'a missing key', target: '/key/nobody', status: 200 },
      { name: 'no such escape', target: '/key/%zz', status: 400 },
    ],
  },
  {
    method: 'delete',
    path: '/key/{key}',
    tag: 'keys',
    summary: 'Remove a key.',
    parameters: [KEY, IDEMPOTENCY],
    answers: {
      200: { description: 'It is gone, or there was none.', content: EMPTY },
      400: { description: 'A key that cannot be.' },
      ...WRITE_PROBLEMS,
    },
    examples: [
      { name: 'a key', target: '/key/user2', status: 200 },
      { name: 'a missing key', target: '/key/user2', status: 200 },
    ],
  },
]
