import { join } from 'node:path'
import { asNodeId, type Identity, type NodeId } from '../raft/types.ts'
import { type Disk, makeDirectoryDurably, systemDisk, writeFileDurably } from './disk.ts'
import { LogRefusal } from './log-store.ts'

const NAME = 'identity.json'
const LOCK = 'identity.lock'
/** Stands there while a backup is being made this node's data, until the identity does. */
export const UNFINISHED = 'restore-unfinished'
/** What a data directory may hold before it has an identity; a volume brings lost+found along. */
const HARMLESS: readonly string[] = [LOCK, `${NAME}.tmp`, 'lost+found']
const MAX_BYTES = 4096

/** Who the configuration says the node is. */
export interface NodeName {
  readonly clusterId: string
  readonly nodeId: NodeId
}

export interface IdentityOptions {
  readonly disk?: Disk
  /** Names that a new directory may hold as well: the node's own configuration may lie in it. */
  readonly expected?: readonly string[]
}

/**
 * Reads who owns a data directory, or makes a new directory this node's own. Durable when it resolves.
 * @param drawIncarnation called once if the directory is new: a name that no wiped disk had before
 * @throws LogRefusal if the directory is somebody else's, or holds files but no identity
 */
export async function loadOrCreateIdentity(
  dataDir: string,
  name: NodeName,
  drawIncarnation: () => string,
  { disk = systemDisk, expected = [] }: IdentityOptions = {},
): Promise<Identity> {
  const lock = await lockDirectory(dataDir, disk)
  try {
    // A name that a dead run left may not be durable yet.
    await disk.syncDirectory(dataDir)
    const names = await disk.list(dataDir)
    if (names.includes(NAME)) return await load(disk, join(dataDir, NAME), name)
    if (names.includes(UNFINISHED)) {
      throw new LogRefusal('owner', `${dataDir}: a restore was cut short here: run it again`)
    }
    const [other] = othersIn(names, expected)
    if (other !== undefined) {
      throw new LogRefusal(
        'lost',
        `${dataDir}: ${NAME} is missing, but ${other} is there; a new node needs an empty directory`,
      )
    }
    const identity = { ...name, incarnation: drawIncarnation() }
    await saveIdentity(dataDir, identity, disk)
    return identity
  } finally {
    lock.release()
  }
}

/**
 * Makes a data directory where it is missing. Two processes that start on a new one must not draw two incarnations.
 * @throws LogRefusal while another process has the right to give it an identity
 */
export async function lockDirectory(
  dataDir: string,
  disk: Disk = systemDisk,
): Promise<{ release(): void }> {
  await makeDirectoryDurably(disk, dataDir)
  const lock = disk.lock(join(dataDir, LOCK))
  if (lock === null) throw new LogRefusal('owner', `${dataDir}: in use by another process`)
  return lock
}

/** Names that a directory without an identity should not have. */
export function othersIn(names: readonly string[], expected: readonly string[]): string[] {
  return names.filter(found => ![...HARMLESS, ...expected].includes(found))
}

/** Makes the directory this node's own. Durable when it resolves. */
export async function saveIdentity(
  dataDir: string,
  identity: Identity,
  disk: Disk = systemDisk,
): Promise<void> {
  const text = `${JSON.stringify(identity, null, 2)}\n`
  await writeFileDurably(disk, join(dataDir, NAME), Buffer.from(text))
}

async function load(disk: Disk, path: string, name: NodeName): Promise<Identity> {
  const file = await disk.open(path, 'existing')
  const bytes = await file.read(0, MAX_BYTES).finally(() => file.close())
  const identity = parse(Buffer.from(bytes).toString())
  if (identity === null) throw new LogRefusal('identity', `${path}: not an identity`)
  if (identity.clusterId !== name.clusterId || identity.nodeId !== name.nodeId) {
    const owner = `node ${identity.nodeId} of cluster ${identity.clusterId}`
    throw new LogRefusal(
      'identity',
      `${path}: belongs to ${owner}, this is ${name.nodeId} of ${name.clusterId}`,
    )
  }
  return identity
}

function parse(text: string): Identity | null {
  try {
    const { clusterId, nodeId, incarnation } = JSON.parse(text) as Record<string, unknown>
    const areTexts = typeof clusterId === 'string' && typeof incarnation === 'string'
    if (!areTexts || typeof nodeId !== 'string' || incarnation === '') return null
    return { clusterId, nodeId: asNodeId(nodeId), incarnation }
  } catch {
    return null
  }
}
