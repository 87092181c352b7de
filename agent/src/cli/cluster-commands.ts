import type { Command } from 'commander'
import type { Client } from './client.ts'
import { type Context, say, table } from './context.ts'
import { ask, parseEndpoint } from './endpoint.ts'
import type { Run } from './run.ts'

export interface Member {
  readonly id: string
  readonly role: string
  readonly address: string
  readonly raftBind: string
  readonly gateway: string | null
}

/** The part of `GET /status` that is shown. */
export interface Status {
  readonly me: { readonly id: string }
  readonly leader: { readonly id: string }
  readonly role: string
  readonly term: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly ready: boolean
  readonly notReady: string
  readonly stalenessMs: number | null
  readonly version: string
  readonly members: readonly Member[]
  /** null where no keys become nginx's configuration; agents before 1.0 do not say */
  readonly structure?: Structure | null
}

/** How far a node is with the keys that are nginx's configuration. */
export interface Structure {
  readonly prefix: string
  readonly state: string
  readonly index: number | null
  readonly tried: number | null
  readonly error: string | null
  readonly warning: string | null
  readonly since: number
}

const MEMBERS = '/v1/cluster/members'
/** A member that does not answer so long is shown as silent, ms. */
const GLANCE_MS = 1500

/** `members`, `add`, `remove`, `transfer`, `status` */
export function addClusterCommands(program: Command, run: Run): void {
  program
    .command('status')
    .description('every member as it sees itself: role, term, how far it is, whether it is ready')
    .action(run(status))
  program
    .command('members')
    .description('who belongs to the cluster, and as what')
    .action(run(members))
  program
    .command('add')
    .description('add a node; it votes once it has caught up. Fine when it is a member already')
    .argument('<id>', 'its node_id')
    .argument('<host:port>', 'its raft_bind')
    .option('--edge', 'it is fed and serves reads, and never votes')
    .action(run(add))
  program
    .command('remove')
    .description('remove a member; its agent is not stopped. Fine when it is none')
    .argument('<id>')
    .action(run(remove))
  program
    .command('transfer')
    .description('hand the leadership over')
    .argument('[id]', 'to this member; without it, to whoever has most')
    .action(run(transfer))
}

async function status(context: Context): Promise<void> {
  const { client } = context
  const answer = await client.expect({ method: 'GET', path: '/status', repeatable: true })
  const asked = JSON.parse(answer.body.toString('utf8')) as Status
  const seen = await Promise.all(
    asked.members.map(member => (member.id === asked.me.id ? asked : glance(client, member))),
  )
  const nodes = asked.members.map((member, at) => ({ id: member.id, status: seen[at] ?? null }))
  const leader = asked.leader.id === '' ? null : asked.leader.id
  const rows = nodes.map(({ id, status }) =>
    status === null
      ? [id, 'silent']
      : [
          id,
          status.role,
          String(status.term),
          String(status.commitIndex),
          String(status.appliedIndex),
          status.stalenessMs === null ? '-' : `${status.stalenessMs} ms`,
          status.ready ? 'yes' : `no: ${status.notReady}`,
          status.version,
          structureText(status),
        ],
  )
  const columns = ['node', 'role', 'term', 'commit', 'applied', 'staleness', 'ready', 'version']
  const structured = nodes.some(({ status }) => status?.structure)
  const header = [...columns, structured ? 'structure' : '']
  const title = `leader ${leader ?? 'unknown'}, as ${asked.me.id} sees it`
  say(context, { asked: asked.me.id, leader, nodes }, `${title}\n${table([header, ...rows])}`)
}

/** Such as `ok 340`, or `rejected 341, runs 340`. */
export function structureText({ structure }: Pick<Status, 'structure'>): string {
  if (structure === null || structure === undefined) return ''
  const { state, index, tried } = structure
  if (index === tried) return index === null ? state : `${state} ${index}`
  return `${state} ${tried ?? '-'}, runs ${index ?? 'none'}`
}

/** Null where it does not answer. */
export async function glance(
  { token }: Pick<Client, 'token'>,
  { address }: Member,
): Promise<Status | null> {
  if (address === '') return null
  try {
    const answer = await ask(
      parseEndpoint(address, token),
      { method: 'GET', path: '/status' },
      GLANCE_MS,
    )
    return answer.status === 200 ? (JSON.parse(answer.body.toString('utf8')) as Status) : null
  } catch {
    return null
  }
}

async function members(context: Context): Promise<void> {
  const answer = await context.client.expect({ method: 'GET', path: MEMBERS, repeatable: true })
  sayMembers(context, answer.body)
}

async function add(
  context: Context,
  id: string,
  addr: string,
  { edge }: { readonly edge?: boolean },
): Promise<void> {
  const body = { id, addr, ...(edge ? { voter: false } : {}) }
  const answer = await context.client.expect({ ...post(MEMBERS, body), repeatable: true })
  sayMembers(context, answer.body)
}

async function remove(context: Context, id: string): Promise<void> {
  const path = `${MEMBERS}/${encodeURIComponent(id)}`
  const answer = await context.client.expect({ method: 'DELETE', path, repeatable: true })
  sayMembers(context, answer.body)
}

async function transfer(context: Context, id: string | undefined): Promise<void> {
  // To anybody, asked twice, it would move on.
  const request = { ...post('/v1/cluster/leader', { id }), repeatable: id !== undefined }
  const answer = await context.client.expect(request)
  const { leader } = JSON.parse(answer.body.toString('utf8')) as { leader: string }
  say(context, { leader }, `${leader} leads`)
}

function post(path: string, value: object) {
  const headers = { 'Content-Type': 'application/json' }
  return { method: 'POST', path, headers, body: Buffer.from(JSON.stringify(value)) } as const
}

function sayMembers(context: Context, body: Buffer): void {
  const value = JSON.parse(body.toString('utf8')) as { members: readonly Member[] }
  const rows = value.members.map(({ id, role, address, raftBind, gateway }) => [
    id,
    role,
    address === '' ? '-' : address,
    raftBind,
    gateway ?? '-',
  ])
  say(context, value, table([['node', 'role', 'http', 'raft', 'gateway'], ...rows]))
}
