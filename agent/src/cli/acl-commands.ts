import { type Command, InvalidArgumentError } from 'commander'
import { type Context, say, table } from './context.ts'
import type { Answer } from './endpoint.ts'
import type { Run } from './run.ts'

const ACL = '/v1/cluster/acl'
const TOKENS = `${ACL}/tokens`

interface Rule {
  readonly prefix: string
  readonly access: string
}

interface Token {
  readonly accessor: string
  readonly name: string
  readonly role: string
  readonly rules: readonly Rule[]
  readonly expires: string | null
  readonly expired: boolean
  /** only where it was made just now */
  readonly secret?: string
}

interface Said {
  readonly name?: string
  readonly role?: string
  readonly rule?: readonly Rule[]
  readonly ttl?: string
}

/** `acl bootstrap`, `status`, `enable`, `disable`, `create`, `list`, `show`, `update`, `delete` */
export function addAclCommands(program: Command, run: Run): void {
  const acl = program.command('acl').description('tokens of clients, on the agents’ own ports')
  acl
    .command('bootstrap')
    .description('let tokens count, and show the first one, an admin’s: once')
    .action(run(bootstrap))
  acl.command('status').description('whether tokens count').action(run(status))
  acl
    .command('enable')
    .description('let tokens count')
    .action(run(context => turn(context, true)))
  acl
    .command('disable')
    .description('nobody needs a token; all of them are kept')
    .action(run(context => turn(context, false)))
  described(acl.command('create').description('make a token and show its secret: once')).action(
    run(create),
  )
  acl.command('list').description('all tokens, without their secrets').action(run(list))
  acl.command('show').description('one token').argument('<accessor>').action(run(show))
  described(
    acl
      .command('update')
      .description('change a token; what is not given stays. `anonymous`: whoever sends none')
      .argument('<accessor>'),
  ).action(run(update))
  acl
    .command('delete')
    .description('take a token back. Fine when there is none')
    .argument('<accessor>')
    .action(run(remove))
}

function described(command: Command): Command {
  return command
    .option('--name <text>', 'what it is for')
    .option('--role <role>', 'client, monitor (metrics, members) or admin (everything)')
    .option('--rule <prefix=access>', 'read, write or deny; several; the longest decides', asRule)
    .option('--ttl <duration>', 'it ends after so long, like 24h')
}

/** For commander. The prefix may have an equals sign, and may be empty. */
function asRule(text: string, earlier: readonly Rule[] = []): readonly Rule[] {
  const [, prefix, access] = /^(.*)=(read|write|deny)$/s.exec(text) ?? []
  if (prefix !== undefined && access !== undefined) return [...earlier, { prefix, access }]
  throw new InvalidArgumentError('a rule is prefix=read, prefix=write or prefix=deny.')
}

async function bootstrap(context: Context): Promise<void> {
  const path = `${ACL}/bootstrap`
  sayToken(context, await context.client.expect({ method: 'POST', path, repeatable: false }))
}

async function status(context: Context): Promise<void> {
  saySwitch(context, await context.client.expect({ method: 'GET', path: ACL, repeatable: true }))
}

async function turn(context: Context, enabled: boolean): Promise<void> {
  saySwitch(context, await context.client.expect({ ...put(ACL, { enabled }), repeatable: true }))
}

async function create(context: Context, said: Said): Promise<void> {
  const request = { ...put(TOKENS, bodyOf(said)), method: 'POST', repeatable: false } as const
  sayToken(context, await context.client.expect(request))
}

async function list(context: Context): Promise<void> {
  const answer = await context.client.expect({ method: 'GET', path: TOKENS, repeatable: true })
  const value = JSON.parse(answer.body.toString('utf8')) as { tokens: readonly Token[] }
  const rows = value.tokens.map(({ accessor, name, role, rules, expires, expired }) => [
    accessor,
    name === '' ? '-' : name,
    role,
    rules.map(shown).join(' ') || '-',
    expired ? 'expired' : (expires ?? '-'),
  ])
  say(context, value, table([['accessor', 'name', 'role', 'rules', 'expires'], ...rows]))
}

async function show(context: Context, accessor: string): Promise<void> {
  const request = { method: 'GET', path: pathOf(accessor), repeatable: true } as const
  sayToken(context, await context.client.expect(request))
}

async function update(context: Context, accessor: string, said: Said): Promise<void> {
  const request = { ...put(pathOf(accessor), bodyOf(said)), repeatable: true }
  sayToken(context, await context.client.expect(request))
}

async function remove(context: Context, accessor: string): Promise<void> {
  const request = { method: 'DELETE', path: pathOf(accessor), repeatable: true } as const
  await context.client.expect(request)
  say(context, { deleted: accessor }, `${accessor} is good for nothing any more`)
}

function bodyOf({ rule, ...rest }: Said): object {
  return { ...rest, ...(rule !== undefined && { rules: rule }) }
}

function pathOf(accessor: string): string {
  return `${TOKENS}/${encodeURIComponent(accessor)}`
}

function put(path: string, value: object) {
  const headers = { 'Content-Type': 'application/json' }
  return { method: 'PUT', path, headers, body: Buffer.from(JSON.stringify(value)) } as const
}

function saySwitch(context: Context, { body }: Answer): void {
  const value = JSON.parse(body.toString('utf8')) as { enabled: boolean; tokens: number }
  const { enabled, tokens } = value
  say(context, value, `tokens ${enabled ? 'count' : 'do not count'}; there are ${tokens}`)
}

function sayToken(context: Context, { body }: Answer): void {
  const token = JSON.parse(body.toString('utf8')) as Token
  const { accessor, name, role, rules, expires, expired, secret } = token
  const lines = [
    ['accessor', accessor],
    ...(secret === undefined ? [] : [['secret', `${secret}  (shown this once)`]]),
    ['name', name === '' ? '-' : name],
    ['role', role],
    ['rules', rules.map(shown).join(' ') || '-'],
    ['expires', expired ? 'expired' : (expires ?? 'never')],
  ]
  say(context, token, table(lines))
}

function shown({ prefix, access }: Rule): string {
  return `${prefix}=${access}`
}
