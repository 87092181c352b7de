import { z } from 'zod'
import { ROLES, tokenFields } from '../../acl/token.ts'
import { aclSwitch, newToken, tokenChange } from '../acl/acl-bodies.ts'
import { json } from './answers.ts'
import { inPath, JSON_TYPE, type Meaning, type Operation } from './operation.ts'

const ACL = '/v1/cluster/acl'
const TOKENS = `${ACL}/tokens`
const ACCESSOR = inPath('accessor', 'What a token is called; `anonymous` for whoever sends none.')

const switched = z.strictObject({
  enabled: z.boolean().describe('Whether tokens count.'),
  bootstrapped: z.boolean().describe('Whether they ever did.'),
  tokens: z.int().min(0),
})

const token = z.strictObject({
  accessor: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  rules: tokenFields.shape.rules.unwrap(),
  expires: z.string().nullable(),
  expired: z.boolean(),
  createIndex: z.int(),
  modifyIndex: z.int(),
})
const drawn = token.extend({
  secret: z.string().describe('Shown here only: what is kept is its SHA-256.'),
})

/** Of all that changes something. */
const REFUSED: Readonly<Record<number, Meaning>> = {
  401: { description: 'Tokens count, and none was sent, or one that is not good.' },
  403: { description: 'Asked through a gateway, or with a token that is no admin’s.' },
  421: { description: 'Another node leads, and could not be asked in your place.' },
  503: { description: 'No leader: nothing happened.' },
  504: { description: 'It may still happen; look what there is.' },
}
const BAD_BODY = { description: 'The body is not of this shape.' }
const NONE = { description: 'There is no such token.' }
const LAST = { description: 'No admin’s token would be left, or somebody else was faster.' }

export const ACL_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: ACL,
    tag: 'acl',
    summary: 'Whether tokens count.',
    answers: { 200: { description: 'Now.', content: json(switched) }, ...REFUSED },
    examples: [{ name: 'before the first token', status: 200 }],
  },
  {
    method: 'put',
    path: ACL,
    tag: 'acl',
    summary: 'Let tokens count, or not.',
    body: { type: JSON_TYPE, schema: aclSwitch },
    answers: {
      200: { description: 'So it is, on each node from this entry on.', content: json(switched) },
      400: BAD_BODY,
      409: LAST,
      ...REFUSED,
    },
    examples: [
      { name: 'off', body: { enabled: false }, status: 200 },
      { name: 'on, with nobody who could change it', body: { enabled: true }, status: 409 },
      { name: 'neither', body: {}, status: 400 },
    ],
  },
  {
    method: 'post',
    path: TOKENS,
    tag: 'acl',
    summary: 'Make a token.',
    body: { type: JSON_TYPE, schema: newToken },
    answers: {
      200: { description: 'With its secret.', content: json(drawn) },
      400: BAD_BODY,
      409: { description: 'There are too many.' },
      413: { description: 'It is too large.' },
      ...REFUSED,
    },
    examples: [
      {
        name: 'for one application',
        body: {
          name: 'app',
          rules: [
            { prefix: 'app/', access: 'write' },
            { prefix: 'app/secret/', access: 'deny' },
          ],
          ttl: '24h',
        },
        status: 200,
      },
      { name: 'of a role that there is not', body: { role: 'king' }, status: 400 },
    ],
  },
  {
    method: 'get',
    path: TOKENS,
    tag: 'acl',
    summary: 'All tokens, the oldest first.',
    answers: {
      200: {
        description: 'Without secrets.',
        content: json(z.strictObject({ tokens: z.array(token) })),
      },
      ...REFUSED,
    },
    examples: [{ name: 'all', status: 200 }],
  },
  {
    method: 'put',
    path: `${TOKENS}/{accessor}`,
    tag: 'acl',
    summary: 'Change what is said of a token. Its secret stays; what is not given stays too.',
    parameters: [ACCESSOR],
    body: { type: JSON_TYPE, schema: tokenChange },
    answers: {
      200: { description: 'So it is.', content: json(token) },
      400: BAD_BODY,
      404: NONE,
      409: LAST,
      413: { description: 'It is too large.' },
      ...REFUSED,
    },
    examples: [
      {
        name: 'what anybody may read',
        target: `${TOKENS}/anonymous`,
        body: { rules: [{ prefix: 'public/', access: 'read' }] },
        status: 200,
      },
      { name: 'none', target: `${TOKENS}/nobody`, body: {}, status: 404 },
    ],
  },
  {
    method: 'get',
    path: `${TOKENS}/{accessor}`,
    tag: 'acl',
    summary: 'One token.',
    parameters: [ACCESSOR],
    answers: { 200: { description: 'It.', content: json(token) }, 404: NONE, ...REFUSED },
    examples: [
      { name: 'what anybody may', target: `${TOKENS}/anonymous`, status: 200 },
      { name: 'none', target: `${TOKENS}/nobody`, status: 404 },
    ],
  },
  {
    method: 'delete',
    path: `${TOKENS}/{accessor}`,
    tag: 'acl',
    summary: 'Take a token back.',
    parameters: [ACCESSOR],
    answers: {
      200: {
        description: 'It is good for nothing on each node that has applied this.',
        content: json(z.strictObject({ deleted: z.string() })),
      },
      409: LAST,
      ...REFUSED,
    },
    examples: [{ name: 'gone already', target: `${TOKENS}/nobody`, status: 200 }],
  },
  {
    method: 'post',
    path: `${ACL}/bootstrap`,
    tag: 'acl',
    summary: 'The first token, an admin’s. Tokens count from then on.',
    answers: {
      200: { description: 'With its secret.', content: json(drawn) },
      ...REFUSED,
      403: { description: 'There was a first token already, or this came through a gateway.' },
    },
    examples: [
      { name: 'once', status: 200 },
      { name: 'and not again', status: 403 },
    ],
  },
]
