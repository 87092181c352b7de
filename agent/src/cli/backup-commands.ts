import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Writable } from 'node:stream'
import { type Command, Option } from 'commander'
import { readConfig } from '../config.ts'
import { syncDirectory } from '../os/durable-file.ts'
import { type Context, say } from './context.ts'
import { CommandError, failed, misused } from './exit.ts'
import { beginBackup, type Incoming, verified } from './fetch-backup.ts'
import { asCount } from './options.ts'
import type { Run } from './run.ts'

/** More writes than any cluster takes between its last backup and its end. */
const SKIP_INDEXES = 1_000_000_000

/** `backup`, `restore` */
export function addBackupCommands(program: Command, run: Run): void {
  program
    .command('backup')
    .description('copy all that a node has applied into a file, and verify it')
    .argument('<file>', 'where to; - for stdout')
    .option('-f, --force', 'replace a file that is there')
    .option('--consistent', 'with every write that was answered before; needs a leader')
    .action(run(backup))
  program
    .command('restore')
    .description("make a backup the data of a new cluster's first node; its agent does not run")
    .requiredOption('--from <file>', 'the backup')
    .requiredOption('-c, --config <file>', "that node's configuration")
    .option('--cluster-name <name>', 'of the new cluster (default: as in the configuration)')
    .addOption(
      new Option('--skip-indexes <count>', 'indexes left out, so that none is given twice')
        .argParser(asCount)
        .default(SKIP_INDEXES),
    )
    .action(run(restore))
}

async function backup(
  context: Context,
  file: string,
  {
    force = false,
    consistent = false,
  }: { readonly force?: boolean; readonly consistent?: boolean },
): Promise<void> {
  const toStdout = file === '-'
  if (toStdout && context.stdout.isTTY)
    throw misused('a backup is no text: redirect it, or name a file')
  if (!toStdout && !force && existsSync(file)) {
    throw failed(`${file} is there already; --force replaces it`)
  }
  const { endpoints } = context.client
  const incoming = await beginBackup({ endpoints, consistent, signal: context.interrupt() })
  const { endpoint, node, index, term, bytes, sha256 } = incoming
  const found = toStdout ? await pass(context, incoming) : await keep(resolve(file), incoming)
  const result = { file, endpoint, node, index, term, bytes, sha256, ...found }
  const text = `${toStdout ? 'the backup' : file}: all that ${node} had applied up to entry ${index}, ${bytes} bytes`
  // Its own place is taken by the backup.
  say(
    toStdout ? { ...context, stdout: context.stderr as Context['stdout'] } : context,
    result,
    text,
  )
}

async function pass({ stdout }: Context, incoming: Incoming): Promise<object> {
  for await (const piece of verified(incoming)) {
    const full = stdout.write(piece) === false
    if (full && stdout instanceof Writable) await once(stdout, 'drain')
  }
  return {}
}

/** The file is there whole and durable, or not at all. */
async function keep(path: string, incoming: Incoming): Promise<object> {
  const part = `${path}.tmp`
  try {
    await withFile(part, 'w', async file => {
      for await (const piece of verified(incoming)) await file.writeFile(piece)
      await file.sync()
    })
    const { clusterId } = await check(part)
    await rename(part, path)
    await syncDirectory(dirname(path))
    return { cluster: clusterId }
  } catch (error) {
    await rm(part, { force: true })
    if (error instanceof CommandError) throw error
    throw failed(`${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function check(file: string) {
  // SQLite is loaded for those who need it.
  const { checkBackup } = await import('../backup/check.ts')
  return checkBackup(file).catch(error => {
    throw failed(`what came is damaged: ${error.message}`)
  })
}

async function withFile(
  path: string,
  flags: string,
  act: (file: FileHandle) => Promise<void>,
): Promise<void> {
  // It holds all the data, which is not everybody's to read.
  const file = await open(path, flags, 0o600)
  try {
    await act(file)
  } finally {
    await file.close()
  }
}

interface RestoreGiven {
  readonly from: string
  readonly config: string
  readonly clusterName?: string
  readonly skipIndexes: number
}

async function restore(context: Context, given: RestoreGiven): Promise<void> {
  const { clusterName, skipIndexes } = given
  const overrides = clusterName === undefined ? {} : { cluster_name: clusterName }
  const source = { file: given.config, env: context.env }
  const result = readConfig({ ...source, overrides })
  if (result.kind === 'faults') throw failed(result.faults.join('\n'))
  const { config } = result
  const loaded = await import('../backup/restore.ts')
  const file = resolve(given.from)
  const { identity, former, position } = await loaded
    .restore({ file, config, skipIndexes })
    .catch(error => {
      throw failed(error instanceof Error ? error.message : String(error))
    })
  const { clusterId, nodeId } = identity
  const own = config.nodes.find(({ id }) => id === nodeId)
  const asked = readConfig({ ...source, overrides: {} })
  const named = asked.kind === 'config' && asked.config.clusterName === clusterId
  const lines = [
    `${nodeId} in ${config.raftDir} is the only voter of the new cluster ${clusterId}, which begins at entry ${position.index}`,
    `the backup is of ${former.clusterId}, up to entry ${former.applied.index}`,
    ...(named ? [] : [`first set "cluster_name": "${clusterId}" in ${config.file}`]),
    `then start its agent, and each other node with an empty raft_dir, "cluster_name": "${clusterId}" and "join": ["${own?.address}"]`,
  ]
  const value = { raftDir: config.raftDir, ...identity, former, position }
  say(context, value, lines.join('\n'))
}
