import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { type Ask, refusal } from './client.ts'
import { type Context, say } from './context.ts'
import { failed } from './exit.ts'
import { isInteger } from './options.ts'
import type { Run } from './run.ts'
import { watch } from './watch.ts'

/** A row of `GET /v1/kv/<key>`. */
interface Row {
  readonly Key: string
  /** base64; null for an empty value */
  readonly Value: string | null
  readonly Flags: number
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

interface ReadOptions {
  readonly stale?: boolean
}

interface WriteOptions {
  readonly cas?: string
  readonly ttl?: string
}

/** `kv get|put|delete|list|watch` */
export function addKvCommands(program: Command, run: Run): void {
  const kv = program.command('kv').description('read, write and watch keys')
  kv.command('get')
    .description('write the value of a key to stdout')
    .argument('<key>')
    .option('--stale', "answer from the node's own data, without asking the leader")
    .action(run(get))
  kv.command('put')
    .description('set a key')
    .argument('<key>')
    .argument('[value]', 'the value; without it, or with -, what comes on stdin')
    .option(
      '--cas <index>',
      'only if the key is at this index; 0: only if there is no such key',
      isInteger,
    )
    .option('--ttl <duration>', 'the key ends by itself, such as 30s or 2h')
    .action(run(put))
  kv.command('delete')
    .description('remove a key; fine when there is none')
    .argument('<key>')
    .option('--recurse', 'remove all keys that begin with it')
    .option('--cas <index>', 'only if the key is at this index', isInteger)
    .action(run(remove))
  kv.command('list')
    .description('the keys that begin with a prefix, in order of their bytes')
    .argument('[prefix]', 'without it: all keys', '')
    .option('--separator <text>', 'each name ends at the first of these behind the prefix')
    .option('--stale', "answer from the node's own data, without asking the leader")
    .action(run(list))
  kv.command('watch')
    .description(
      'print each change of keys that begin with a prefix, one JSON a line, until Ctrl-C',
    )
    .argument('[prefix]', 'without it: all keys', '')
    .option('--since <index>', 'changes after this index; without it, from now on', isInteger)
    .action(run(watch))
}

async function get(context: Context, key: string, { stale }: ReadOptions): Promise<void> {
  const path = `${pathOf(key)}${stale ? '?stale' : ''}`
  const answer = await context.client.send(read(path))
  if (answer.status === 404) throw failed(`there is no key ${JSON.stringify(key)}`)
  if (answer.status !== 200) throw refusal(answer)
  const [row] = JSON.parse(answer.body.toString('utf8')) as Row[]
  if (row === undefined) throw failed('the answer has no row')
  if (context.json) say(context, shown(row), '')
  else writeValue(context, bytesOf(row))
}

/** As it is, so that a file comes back the same; with a line end for whoever reads it on a screen. */
function writeValue({ stdout }: Context, value: Buffer): void {
  stdout.write(value)
  if (stdout.isTTY === true && value.at(-1) !== 0x0a) stdout.write('\n')
}

async function put(
  context: Context,
  key: string,
  value: string | undefined,
  options: WriteOptions,
): Promise<void> {
  const body = value === undefined || value === '-' ? await allOf(context) : Buffer.from(value)
  const { cas, ttl } = options
  const query = queryOf({ cas, ttl })
  await write(context, key, { method: 'PUT', path: pathOf(key) + query, body })
}

async function remove(
  context: Context,
  key: string,
  { cas, recurse }: { readonly cas?: string; readonly recurse?: boolean },
): Promise<void> {
  const query = queryOf({ cas, recurse: recurse ? '' : undefined })
  await write(context, key, { method: 'DELETE', path: pathOf(key) + query })
}

async function write(
  context: Context,
  key: string,
  request: Omit<Ask, 'repeatable'>,
): Promise<void> {
  const headers = { 'Idempotency-Key': randomUUID() }
  const answer = await context.client.expect({ ...request, headers, repeatable: true })
  if (answer.body.toString('utf8').trim() === 'false') {
    throw failed(`${JSON.stringify(key)} is not at that index; nothing happened`)
  }
  const index = Number(answer.headers['x-raft-index'])
  if (context.json) say(context, { index }, '')
}

async function list(
  context: Context,
  prefix: string,
  { separator, stale }: ReadOptions & { readonly separator?: string },
): Promise<void> {
  const query = queryOf({ keys: '', separator, stale: stale ? '' : undefined })
  const answer = await context.client.send(read(pathOf(prefix) + query))
  if (answer.status !== 200 && answer.status !== 404) throw refusal(answer)
  const text = answer.status === 404 ? '[]' : answer.body.toString('utf8')
  const keys = JSON.parse(text) as string[]
  if (context.json || keys.length > 0) say(context, keys, keys.join('\n'))
}

function read(path: string): Ask {
  return { method: 'GET', path, repeatable: true }
}

/** Slashes are encoded as well: whatever stands between the two, it is this key. */
function pathOf(key: string): string {
  return `/v1/kv/${encodeURIComponent(key)}`
}

function queryOf(given: Readonly<Record<string, string | undefined>>): string {
  const parts = Object.entries(given).flatMap(([name, value]) => {
    if (value === undefined) return []
    return [value === '' ? name : `${name}=${encodeURIComponent(value)}`]
  })
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

function bytesOf({ Value }: Row): Buffer {
  return Buffer.from(Value ?? '', 'base64')
}

/** `value` is null where the bytes are no text. */
function shown(row: Row): object {
  const bytes = bytesOf(row)
  const text = bytes.toString('utf8')
  const { Key: key, Flags: flags, CreateIndex: createIndex, ModifyIndex: modifyIndex } = row
  const value = Buffer.from(text).equals(bytes) ? text : null
  return { key, value, base64: bytes.toString('base64'), flags, createIndex, modifyIndex }
}

async function allOf({ stdin }: Context): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Uint8Array | string))
  return Buffer.concat(chunks)
}
