import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { type Layout, layOut, type TreeRow } from '../structure/layout.ts'
import { NginxControl } from '../structure/nginx-control.ts'
import { ReleaseStore } from '../structure/release-store.ts'
import { glance, type Status, type Structure, structureText } from './cluster-commands.ts'
import { PLACES } from './companion-command.ts'
import { type Context, say, table } from './context.ts'
import { CommandError, EXIT, failed } from './exit.ts'
import { secondsOption } from './options.ts'
import type { Run } from './run.ts'
import { readTree } from './structure-agent.ts'
import { type Change, changesOf, push as pushChanges } from './structure-push.ts'

const POLL_MS = 200
const WITHIN_MS = 60_000

/** `structure status|check|push` */
export function addStructureCommands(program: Command, run: Run): void {
  const structure = program
    .command('structure')
    .description("keys that are nginx's configuration: server names, certificates, upstreams")
  structure
    .command('status')
    .description('which index each node runs, and why not the newest; 1 unless all run it')
    .action(run(status))
  structure
    .command('check')
    .description('whether a directory can become those keys')
    .argument('<dir>')
    .option('--main <file>', 'test it inside this configuration of nginx, as companions do')
    .option('--nginx <file>', "nginx's binary", PLACES.nginx)
    .option('--link <name>', 'by which that configuration includes it', PLACES.link)
    .action(run(check))
  structure
    .command('push')
    .description('make the keys as a directory is, in one transaction')
    .argument('<dir>')
    .option('--delete', 'remove keys that are not in it')
    .option('--dry-run', 'only say what would change')
    .option('--wait', 'until every node runs it, or one refuses it')
    .addOption(secondsOption('--within <seconds>', 'how long to wait', WITHIN_MS))
    .action(run(push))
}

interface Seen {
  readonly id: string
  /** null: it does not answer */
  readonly status: Status | null
}

/** Every member, as it sees itself. */
async function members({ client }: Context): Promise<Seen[]> {
  const answer = await client.expect({ method: 'GET', path: '/status', repeatable: true })
  const asked = JSON.parse(answer.body.toString('utf8')) as Status
  return Promise.all(
    asked.members.map(async member => ({
      id: member.id,
      status: member.id === asked.me.id ? asked : await glance(client, member),
    })),
  )
}

async function status(context: Context): Promise<void> {
  const seen = await members(context)
  sayAll(context, seen)
  const settled = seen.every(({ status }) => {
    const structure = status?.structure
    return status !== null && (!structure || structure.state === 'ok')
  })
  const some = seen.some(({ status }) => status?.structure)
  if (!some) throw failed('structure.enabled is false on every node')
  if (!settled) throw new CommandError(EXIT.failed, '', null)
}

function sayAll(context: Context, seen: readonly Seen[]): void {
  const nodes = seen.map(({ id, status }) => ({ id, structure: status?.structure ?? null }))
  const rows = seen.map(({ id, status }) => {
    if (status === null) return [id, 'silent', '', '']
    const { structure } = status
    if (!structure) return [id, 'off', '', '']
    const since = structure.since === 0 ? '-' : new Date(structure.since).toISOString()
    return [id, structureText(status), since, wordsOf(structure)]
  })
  say(context, { nodes }, table([['node', 'structure', 'since', ''], ...rows]))
}

function wordsOf({ error, warning }: Structure): string {
  return (error ?? warning ?? '').replaceAll('\n', '; ')
}

async function check(
  context: Context,
  given: string,
  { main, nginx, link }: { readonly main?: string; readonly nginx: string; readonly link: string },
): Promise<void> {
  const layout = laidOut(given, '')
  const files = [...layout.files.keys()]
  if (main !== undefined) await test(layout, { main: resolve(main), nginx, link })
  say(
    context,
    { files },
    `${files.length} files are well-formed${main ? ', and nginx takes them' : ''}`,
  )
}

async function test(
  { files, digest }: Extract<Layout, { kind: 'files' }>,
  { main, nginx, link }: { readonly main: string; readonly nginx: string; readonly link: string },
): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'raft-nginx-check-'))
  try {
    const store = new ReleaseStore(work, join(work, 'link'))
    store.open()
    const release = store.write(files, { index: 0, digest })
    const place = { binary: nginx, main, prefix: null, pidFile: null, link, work }
    const found = await new NginxControl(place).check(release.directory)
    if (found.kind === 'unincluded') {
      throw failed(`${basename(main)} in ${dirname(main)} does not include ${link}/http.conf`)
    }
    if (found.kind === 'refused') {
      throw failed(found.words.trim().replaceAll(`${release.directory}/`, ''))
    }
    if (found.warning !== null) process.emitWarning(found.warning)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

interface PushOptions {
  readonly delete?: boolean
  readonly dryRun?: boolean
  readonly wait?: boolean
  readonly within: number
}

async function push(context: Context, given: string, options: PushOptions): Promise<void> {
  const { client } = context
  const prefix = prefixOf(await members(context))
  const rows = rowsIn(resolve(given), prefix)
  laidOut(given, prefix)
  const { rows: before } = await readTree(client, prefix)
  const changes = changesOf(rows, before, options.delete === true)
  if (options.dryRun) {
    say(context, { changes: changes.map(shown) }, changes.map(lineOf).join('\n') || 'no change')
    return
  }
  await pushChanges(client, changes)
  const { index } = await readTree(client, prefix)
  const seen = options.wait ? await settled(context, index, options.within) : null
  const words = `${changes.length} changes, index ${index}`
  if (seen === null) say(context, { index, changes: changes.map(shown) }, words)
  else sayAll(context, seen)
}

/** @throws CommandError where no node has it on */
function prefixOf(seen: readonly Seen[]): string {
  for (const { status } of seen) if (status?.structure) return status.structure.prefix
  throw failed('structure.enabled is false on every node')
}

/** Until every node that has it on runs this index. @throws CommandError when one refuses it, or not in time */
async function settled(context: Context, index: number, withinMs: number): Promise<Seen[]> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const seen = await members(context)
    const concerned = seen.filter(({ status }) => status === null || status.structure)
    if (concerned.every(({ status }) => runs(status?.structure, index))) return seen
    const refuses = concerned.filter(({ status }) => refused(status?.structure, index))
    if (refuses.length > 0) {
      sayAll(context, seen)
      throw failed(`${refuses.map(({ id }) => id).join(', ')}: index ${index} is not taken`)
    }
    if (performance.now() > deadline) {
      sayAll(context, seen)
      const words = `not every node runs index ${index} within ${withinMs / 1000} s`
      throw new CommandError(EXIT.unsettled, words, null)
    }
    await sleep(POLL_MS)
  }
}

function runs(structure: Structure | null | undefined, index: number): boolean {
  if (!structure || !['ok', 'stopped'].includes(structure.state)) return false
  return (structure.index ?? -1) >= index
}

function refused(structure: Structure | null | undefined, index: number): boolean {
  if (!structure || !['rejected', 'blocked'].includes(structure.state)) return false
  return (structure.tried ?? -1) >= index
}

/** @throws CommandError with everything that is wrong */
function laidOut(given: string, prefix: string): Extract<Layout, { kind: 'files' }> {
  const layout = layOut(rowsIn(resolve(given), prefix), prefix)
  if (layout.kind === 'faults') throw failed(layout.faults.join('\n'))
  return layout
}

/** Files as keys; hidden ones are not for anybody. */
function rowsIn(directory: string, prefix: string): TreeRow[] {
  let names: string[]
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  } catch (error) {
    throw failed(`${directory}: ${error instanceof Error ? error.message : error}`)
  }
  return names.flatMap(name => {
    const file = join(directory, name)
    if (
      name.split('/').some(part => part.startsWith('.')) ||
      !statSync(file, { throwIfNoEntry: false })?.isFile()
    )
      return []
    return [{ key: prefix + name, value: readFileSync(file) }]
  })
}

function shown({ key, kind }: Change): object {
  return { key, kind }
}

function lineOf({ key, kind }: Change): string {
  return `${kind} ${key}`
}
