import { z } from 'zod'
import { successor, voterList } from '../cluster-routes.ts'
import { joining } from '../join-routes.ts'
import { structureReport } from '../structure-view.ts'
import { json } from './answers.ts'
import { inPath, JSON_TYPE, type Meaning, type Operation, query } from './operation.ts'
import { MAX_STALE, MIN_INDEX } from './parameters.ts'

const ID = inPath('id', 'The name of a member.')
const INCARNATION = query(
  'incarnation',
  'Only this data directory leaves, unless it is in use; who has come under the name since stays.',
)
const MEMBERS = '/v1/cluster/members'

const members = z.strictObject({
  leader: z.string().nullable(),
  members: z.array(
    z.strictObject({
      id: z.string(),
      role: z.enum(['voter', 'learner', 'edge', 'leaving']),
      address: z.string().describe('HTTP of its agent; empty until the leader has met it.'),
      raftBind: z.string(),
      gateway: z.string().nullable(),
      identified: z.boolean().describe('Whether the cluster knows its data directory.'),
    }),
  ),
})

/** Of every change of the members. */
const CHANGED: Readonly<Record<number, Meaning>> = {
  200: { description: 'It is so now, or was so before.', content: json(members) },
  403: { description: 'Asked through a gateway.' },
  409: { description: 'It cannot be; nothing happened.' },
  421: { description: 'Another node leads, and could not be asked in your place.' },
  503: { description: 'No leader, or an earlier change is not complete: nothing happened.' },
  504: { description: 'It may still happen; ask again.' },
}
const BAD_BODY = { description: 'The body is not of this shape.' }

const ADD = {
  method: 'post',
  tag: 'cluster',
  summary: 'Add a node. It is fed, and votes once it has caught up.',
  body: { type: JSON_TYPE, schema: joining },
  answers: { ...CHANGED, 400: BAD_BODY },
} as const

export const CLUSTER_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: MEMBERS,
    tag: 'cluster',
    summary: 'Who belongs to the cluster, as this node knows it.',
    answers: {
      200: { description: 'Now.', content: json(members) },
      403: { description: 'Asked through a gateway.' },
    },
    examples: [
      { name: 'the members', status: 200 },
      { name: 'not through a gateway', headers: { 'X-Raft-Hop': '1' }, status: 403 },
    ],
  },
  {
    ...ADD,
    path: MEMBERS,
    examples: [
      {
        name: 'a node that only reads',
        body: { id: 'node3', addr: '127.0.0.1:8486', voter: false },
        status: 200,
      },
      {
        name: 'the same again',
        body: { id: 'node3', addr: '127.0.0.1:8486', voter: false },
        status: 200,
      },
      { name: 'no port', body: { id: 'node4', addr: '127.0.0.1' }, status: 400 },
    ],
  },
  {
    ...ADD,
    path: '/join',
    examples: [
      { name: 'a node', body: { id: 'node4', addr: '127.0.0.1:8586', voter: false }, status: 200 },
      { name: 'a field too many', body: { id: 'a', addr: 'h:1', port: 1 }, status: 400 },
    ],
  },
  {
    method: 'delete',
    path: `${MEMBERS}/{id}`,
    tag: 'cluster',
    summary: 'Remove a member; its agent is not stopped.',
    parameters: [ID, INCARNATION],
    answers: CHANGED,
    examples: [
      { name: 'a member', target: `${MEMBERS}/node4`, status: 200 },
      { name: 'gone already', target: `${MEMBERS}/node4`, status: 200 },
      {
        name: 'another disk',
        target: `${MEMBERS}/node0?incarnation=an-earlier-one`,
        status: 200,
      },
      { name: 'the last voter', target: `${MEMBERS}/node0`, status: 409 },
    ],
  },
  {
    method: 'post',
    path: `${MEMBERS}/{id}/promote`,
    tag: 'cluster',
    summary: 'A learner votes from now on, caught up or not.',
    parameters: [ID],
    answers: CHANGED,
    examples: [
      { name: 'votes already', target: `${MEMBERS}/node0/promote`, status: 200 },
      { name: 'no member', target: `${MEMBERS}/node9/promote`, status: 409 },
    ],
  },
  {
    method: 'put',
    path: '/v1/cluster/voters',
    tag: 'cluster',
    summary: 'These members vote, and no others; several changes are one.',
    body: { type: JSON_TYPE, schema: voterList },
    answers: { ...CHANGED, 400: BAD_BODY },
    examples: [
      { name: 'as it is', body: { voters: ['node0'] }, status: 200 },
      { name: 'nobody', body: { voters: [] }, status: 400 },
    ],
  },
  {
    method: 'get',
    path: '/v1/cluster/backup',
    tag: 'cluster',
    summary: 'All that this node has applied, as one file.',
    parameters: [
      query('consistent', 'Shows every write that was answered before; no value.'),
      MAX_STALE,
      MIN_INDEX,
    ],
    answers: {
      200: {
        description:
          'An SQLite database, or the image of a machine that keeps its data in memory (application/octet-stream). X-Raft-Index and X-Raft-Term are of the last entry in it; ETag and Repr-Digest are its SHA-256.',
        content: { type: 'application/vnd.sqlite3', schema: z.string() },
      },
      400: { description: 'max_stale is no duration.' },
      403: { description: 'Asked through a gateway.' },
      429: { description: 'One is being sent already. See Retry-After.' },
      503: { description: 'No leader, or what is known here is older than max_stale.' },
      504: { description: 'X-Raft-Min-Index was not applied in time.' },
      507: { description: 'A copy would leave too little of the disk.' },
    },
    examples: [
      { name: 'as it is', status: 200 },
      { name: 'with all that was answered', target: '/v1/cluster/backup?consistent', status: 200 },
      { name: 'no duration', target: '/v1/cluster/backup?max_stale=soon', status: 400 },
      { name: 'not through a gateway', headers: { 'X-Raft-Hop': '1' }, status: 403 },
    ],
  },
  {
    method: 'put',
    path: '/v1/cluster/structure',
    tag: 'cluster',
    summary: "How far this node's companion is with the keys that are nginx's configuration.",
    body: { type: JSON_TYPE, schema: structureReport },
    answers: {
      200: {
        description: 'Noted. What the keys begin with that are to be followed.',
        content: json(z.strictObject({ prefix: z.string() })),
      },
      400: BAD_BODY,
      403: { description: 'Asked through a gateway.' },
      409: { description: 'structure.enabled is false here.' },
    },
    examples: [
      {
        name: 'what runs',
        body: { state: 'ok', index: 7, tried: 7, error: null, warning: null, since: 0 },
        status: 200,
      },
      { name: 'nothing', body: {}, status: 400 },
      { name: 'not through a gateway', headers: { 'X-Raft-Hop': '1' }, body: {}, status: 403 },
    ],
  },
  {
    method: 'post',
    path: '/v1/cluster/leader',
    tag: 'cluster',
    summary: 'Hand the leadership over.',
    body: { type: JSON_TYPE, schema: successor, required: false },
    answers: {
      ...CHANGED,
      200: {
        description: 'That one leads.',
        content: json(z.strictObject({ leader: z.string() })),
      },
      400: BAD_BODY,
    },
    examples: [
      { name: 'to itself', body: { id: 'node0' }, status: 200 },
      { name: 'to nobody there', body: { id: 'node9' }, status: 409 },
    ],
  },
]
