import { z } from 'zod'
import { EDGE_STATES } from '../edge-view.ts'
import { STRUCTURE_STATES, structureReport } from '../structure-view.ts'
import { json, TEXT } from './answers.ts'
import { type Operation, query } from './operation.ts'

const NAMED = z.looseObject({ id: z.string(), address: z.string() })
const index = z.int().min(0)

const status = z.looseObject({
  me: NAMED,
  leader: NAMED.describe('Empty strings while none is known.'),
  followers: z.array(NAMED),
  role: z.enum(['leader', 'follower', 'candidate']),
  term: index,
  commitIndex: index,
  appliedIndex: index,
  lastIndex: index,
  firstIndex: index.describe('Of the log: what goes before it was dropped.'),
  snapshots: z
    .object({
      stored: index.nullable().describe('Position of the newest that is stored here.'),
      sending: index.nullable().describe('Position of one that is on its way to another node.'),
      installing: z.boolean().describe('One is replacing log and state machine.'),
    })
    .describe('What a node gets that lacks what is no longer in the logs.'),
  members: z.array(z.looseObject({ id: z.string(), address: z.string(), raftBind: z.string() })),
  ready: z.boolean(),
  notReady: z.string().describe('Why not.'),
  stalenessMs: z.number().nullable(),
  links: z.array(z.looseObject({ peer: z.string(), connected: z.boolean() })),
  version: z.string(),
  uptimeMs: z.number(),
  edge: z
    .object({
      state: z.enum(EDGE_STATES),
      index: index.nullable(),
      only: z.array(z.string()),
      capacity: index,
      free: index,
      batches: index,
      copies: index,
      missed: index,
    })
    .nullable()
    .describe("What is known of nginx's own memory; null: it keeps none."),
  structure: structureReport
    .extend({
      prefix: z.string().describe('What those keys begin with.'),
      state: z.enum(STRUCTURE_STATES),
      toldMs: index.nullable().describe("Age of the companion's last word."),
    })
    .nullable()
    .describe("The keys that are nginx's configuration; null: there are none."),
  chain: z
    .object({ index, hash: z.string() })
    .describe('Hash over all that this node has applied up to the index: equal on every node.'),
})

const brief = z.strictObject({
  me: z.strictObject({ id: z.string() }),
  leader: z
    .strictObject({ id: z.string(), http: z.string(), gateway: z.string().nullable() })
    .nullable(),
  term: index,
  relay: z
    .boolean()
    .describe('Whether this agent takes writes of its nginx to the leader, encrypted.'),
})

const UNREADY = { description: 'Not so; the body says why.', content: TEXT }

export const HEALTH_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/status',
    tag: 'health',
    summary: 'What this node knows of itself and its cluster.',
    parameters: [query('brief', '1: who leads, in a few bytes.', z.literal('1'))],
    answers: { 200: { description: 'Now.', content: json(z.union([status, brief])) } },
    examples: [
      { name: 'all of it', status: 200 },
      { name: 'who leads', target: '/status?brief=1', status: 200 },
    ],
  },
  {
    method: 'get',
    path: '/raft',
    tag: 'health',
    summary: "This node's role.",
    answers: {
      200: {
        description: 'Now.',
        content: json(
          z.strictObject({ State: z.enum(['Leader', 'Follower', 'Candidate']), Node: z.string() }),
        ),
      },
    },
    examples: [{ name: 'the role', status: 200 }],
  },
  {
    method: 'get',
    path: '/livez',
    tag: 'health',
    summary: 'Whether the agent serves; never needs a quorum.',
    parameters: [query('verbose', 'In words; no value.')],
    answers: { 200: { description: 'It does.', content: TEXT } },
    examples: [{ name: 'alive', status: 200 }],
  },
  {
    method: 'get',
    path: '/readyz',
    tag: 'health',
    summary: 'Whether a leader is known and this node has caught up with it.',
    parameters: [
      query('verbose', 'Each check in words; no value.'),
      query('noleader', 'Ready without a leader too; no value.'),
    ],
    answers: { 200: { description: 'It is so.', content: TEXT }, 503: UNREADY },
    examples: [
      { name: 'ready', status: 200 },
      { name: 'in words', target: '/readyz?verbose', status: 200 },
      { name: 'also without a leader', target: '/readyz?noleader', status: 200 },
    ],
  },
  {
    method: 'get',
    path: '/metrics',
    tag: 'health',
    summary: "Numbers for Prometheus; on the agent's own port only.",
    answers: {
      200: {
        description: 'The text format, version 0.0.4.',
        content: { type: 'text/plain; version=0.0.4; charset=utf-8', schema: z.string() },
      },
      403: { description: 'Asked through a gateway.' },
    },
    examples: [
      { name: 'a scrape', status: 200 },
      { name: 'not through a gateway', headers: { 'X-Raft-Hop': '1' }, status: 403 },
    ],
  },
  {
    method: 'get',
    path: '/openapi.json',
    tag: 'health',
    summary: "This document; on the agent's own port only.",
    answers: {
      200: {
        description: 'OpenAPI 3.1.',
        content: json(z.looseObject({ openapi: z.literal('3.1.0'), paths: z.looseObject({}) })),
      },
      403: { description: 'Asked through a gateway.' },
    },
    examples: [{ name: 'the document', status: 200 }],
  },
]
