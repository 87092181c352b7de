import { z } from 'zod'
import { BASE64, flagsNumber, transaction } from '../consul/txn-body.ts'
import { json, TEXT } from './answers.ts'
import { header, inPath, JSON_TYPE, type Meaning, type Operation, query } from './operation.ts'
import { BLOCKING, IDEMPOTENCY, IF_MATCH, index, READ_LEVEL } from './parameters.ts'

const KEY = inPath(
  'key',
  'Its bytes, percent-encoded. With recurse or keys: a prefix, which may be empty.',
)
const base64 = z.string().regex(BASE64)

const row = z.looseObject({
  Key: z.string(),
  Value: base64.nullable().describe('base64; null for an empty value.'),
  Flags: z.number().describe('An unsigned number of 64 bits.'),
  LockIndex: index,
  CreateIndex: index,
  ModifyIndex: index,
  Session: z.string().optional(),
})

/** Consul's errors are one line of text. */
const told = (description: string): Meaning => ({ description, content: TEXT })

const ERRORS: Readonly<Record<number, Meaning>> = {
  400: told('A parameter, key or body that cannot be.'),
  421: told('Another node leads, and nothing happened here. A gateway follows it by itself.'),
  503: told('No leader, or too much is waiting: nothing happened.'),
  504: told(
    'Of a write: it may still happen. Of a read: the entry of X-Raft-Min-Index is not here.',
  ),
}
const LOGGED_ERRORS = {
  ...ERRORS,
  422: told('This Idempotency-Key was used for another request.'),
}
const WRITE_ERRORS = {
  ...LOGGED_ERRORS,
  412: told('The precondition of If-Match or If-None-Match does not hold.'),
}

const TEXT_LIST = json(z.array(z.string()))
const DONE = json(z.boolean())

export const CONSUL_OPERATIONS: readonly Operation[] = [
  {
    method: 'put',
    path: '/v1/kv/{key}',
    tag: 'consul',
    summary: 'Set a key to the bytes of the body.',
    parameters: [
      KEY,
      query('cas', 'Only if its ModifyIndex is this; 0: only if there is no such key.', index),
      query('flags', 'Kept beside the value, an unsigned number of 64 bits.', flagsNumber),
      query('acquire', 'Lock it for this session.'),
      query('release', 'Unlock it for this session.'),
      query('ttl', 'It ends by itself, from 1s to 720h.'),
      IF_MATCH,
      header('If-None-Match', 'Only if there is no such key.', z.literal('*')),
      IDEMPOTENCY,
    ],
    body: { type: 'application/octet-stream', schema: z.string(), required: false },
    answers: {
      200: { description: 'Whether it was set.', content: DONE },
      413: told('The value is too long.'),
      ...WRITE_ERRORS,
    },
    examples: [
      { name: 'a value', target: '/v1/kv/app/colour', body: 'red', status: 200 },
      { name: 'only if it is new', target: '/v1/kv/app/colour?cas=0', body: 'blue', status: 200 },
      { name: 'with a lifetime', target: '/v1/kv/app/lease?ttl=30s', body: 'mine', status: 200 },
      {
        name: 'a precondition that does not hold',
        target: '/v1/kv/app/colour',
        headers: { 'If-None-Match': '*' },
        body: 'blue',
        status: 412,
      },
      { name: 'no number', target: '/v1/kv/app/colour?cas=x', body: 'blue', status: 400 },
    ],
  },
  {
    method: 'get',
    path: '/v1/kv/{key}',
    tag: 'consul',
    summary: 'Read a key, or all that begin with it.',
    parameters: [
      KEY,
      query('recurse', 'All keys that begin with it; no value.'),
      query('keys', 'Only their names; no value.'),
      query('separator', 'With keys: names end at the first of these behind the prefix.'),
      query('raw', 'The bytes of the value, with the type they were written with; no value.'),
      ...BLOCKING,
      header('If-None-Match', 'The ETag of an earlier answer: 304 while it is still the one.'),
      ...READ_LEVEL,
    ],
    answers: {
      200: {
        description: 'The rows; with keys the names; with raw the value.',
        content: { type: JSON_TYPE, schema: z.union([z.array(row), z.array(z.string())]) },
      },
      304: { description: 'It is as If-None-Match has it.', content: null },
      404: { description: 'There is none.', content: null },
      413: told('With recurse: they are too large for one answer.'),
      ...ERRORS,
    },
    examples: [
      { name: 'a key', target: '/v1/kv/app/colour', status: 200 },
      { name: 'all below', target: '/v1/kv/app/?recurse&stale', status: 200 },
      { name: 'names', target: '/v1/kv/?keys&separator=/', status: 200 },
      { name: 'not older than a second', target: '/v1/kv/app/colour?max_stale=1s', status: 200 },
      { name: 'a missing key', target: '/v1/kv/nobody', status: 404 },
      { name: 'both ends', target: '/v1/kv/app/colour?stale&consistent', status: 400 },
    ],
  },
  {
    method: 'delete',
    path: '/v1/kv/{key}',
    tag: 'consul',
    summary: 'Remove a key, or all that begin with it.',
    parameters: [
      KEY,
      query('recurse', 'All keys that begin with it; no value.'),
      query('cas', 'Only if its ModifyIndex is this.', index),
      IF_MATCH,
      header('If-None-Match', 'Only if there is no such key.', z.literal('*')),
      IDEMPOTENCY,
    ],
    answers: {
      200: { description: 'Whether it was done.', content: DONE },
      413: told('With recurse: they are too many for one entry of the log.'),
      ...WRITE_ERRORS,
    },
    examples: [
      { name: 'a key', target: '/v1/kv/app/lease', status: 200 },
      { name: 'all below', target: '/v1/kv/app/?recurse', status: 200 },
      { name: 'an index it is not at', target: '/v1/kv/user1?cas=999999', status: 200 },
    ],
  },
  {
    method: 'put',
    path: '/v1/txn',
    tag: 'consul',
    summary: 'All steps in one entry of the log, or none.',
    parameters: [...READ_LEVEL, IDEMPOTENCY],
    body: { type: JSON_TYPE, schema: transaction },
    answers: {
      200: {
        description: 'What each step shows.',
        content: json(
          z.strictObject({ Results: z.array(z.strictObject({ KV: row })), Errors: z.null() }),
        ),
      },
      409: {
        description: 'Nothing happened; which steps did not hold.',
        content: json(
          z.strictObject({
            Results: z.null(),
            Errors: z.array(z.strictObject({ OpIndex: index, What: z.string() })),
          }),
        ),
      },
      413: told('More than 128 steps, or a value that is too long.'),
      ...LOGGED_ERRORS,
    },
    examples: [
      {
        name: 'two keys at once',
        body: [
          { KV: { Verb: 'set', Key: 'a/1', Value: 'b25l' } },
          { KV: { Verb: 'check-not-exists', Key: 'a/2' } },
          { KV: { Verb: 'get-tree', Key: 'a/' } },
        ],
        status: 200,
      },
      {
        name: 'a look at several at once',
        target: '/v1/txn?consistent',
        body: [{ KV: { Verb: 'get', Key: 'a/1' } }, { KV: { Verb: 'get-tree', Key: 'a/' } }],
        status: 200,
      },
      {
        name: 'a step that does not hold',
        body: [
          { KV: { Verb: 'delete', Key: 'a/1' } },
          { KV: { Verb: 'check-not-exists', Key: 'a/1' } },
          { KV: { Verb: 'cas', Key: 'a/3', Value: null, Index: 77 } },
        ],
        status: 409,
      },
      { name: 'no such verb', body: [{ KV: { Verb: 'fly', Key: 'a' } }], status: 400 },
    ],
  },
  {
    method: 'get',
    path: '/v1/status/leader',
    tag: 'consul',
    summary: "The leader's Raft address; empty while none is known.",
    answers: { 200: { description: 'Now.', content: json(z.string()) } },
    examples: [{ name: 'the leader', status: 200 }],
  },
  {
    method: 'get',
    path: '/v1/status/peers',
    tag: 'consul',
    summary: 'The Raft addresses of all members.',
    answers: { 200: { description: 'Now.', content: TEXT_LIST } },
    examples: [{ name: 'the members', status: 200 }],
  },
  {
    method: 'get',
    path: '/v1/agent/self',
    tag: 'consul',
    summary: 'As much as clients look at before they begin.',
    answers: {
      200: {
        description: 'Now.',
        content: json(z.looseObject({ Config: z.looseObject({ NodeName: z.string() }) })),
      },
    },
    examples: [{ name: 'this node', status: 200 }],
  },
]
