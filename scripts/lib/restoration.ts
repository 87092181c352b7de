/** A cluster of this machine, made of a backup. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeAgentConfig } from './agent-server.ts'
import { nodeOf, type Place, placeOf, ROOT, savePlace, votersOf } from './layout.ts'
import { add } from './membership.ts'
import { isRunning, up } from './operations.ts'

const PROGRAM = join(ROOT, 'agent/dist/cli/raft-nginx.js')

/**
 * Restores the first node, starts it, and lets as many join it as voted before, or as were asked for.
 * @throws Error when something runs, or there is data already
 */
export async function restoreCluster(wanted: Place, file: string): Promise<Place> {
  const { directory, shape } = wanted
  const count = votersOf(wanted).length
  if (isRunning(wanted)) throw new Error(`a cluster runs in ${directory}: cluster down first`)
  if (shape.inMemory) throw new Error('a cluster in memory has nothing to restore to')
  const alone = { ...shape, nodes: 1, joined: [], left: [], clusterName: newName() }
  const ids = Array.from({ length: count }, (_, at) => `node${at}`)
  let place = placeOf(directory, alone)
  for (const { id, dataDirectory } of placeOf(directory, { ...alone, nodes: count }).nodes) {
    if (!existsSync(dataDirectory)) continue
    throw new Error(`${id} has data, which is not thrown away here: cluster wipe ${id}`)
  }
  const first = nodeOf(place, 'node0')
  mkdirSync(directory, { recursive: true })
  writeAgentConfig(place, first)
  const args = [PROGRAM, 'restore', '--from', file, '--config', first.configFile]
  const ran = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (ran.status !== 0) throw new Error(`node0 is not restored: ${ran.stderr}`)
  savePlace(place)
  await up(place)
  for (const id of ids.slice(1)) place = await add(place, id)
  return place
}

/** Members of the former cluster, which had another name, are refused. */
function newName(): string {
  return `raft-nginx-${new Date()
    .toISOString()
    .replace(/[^0-9]/g, '')
    .slice(0, 14)}`
}
