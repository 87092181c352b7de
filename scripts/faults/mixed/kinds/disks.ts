/** Disks that lose their power, fill up, fail to fsync, or are slow. */

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { agentPid } from '../../../lib/agent-server.ts'
import { run } from '../../../net/tools.ts'
import { diskOf } from '../disk-places.ts'
import type { Fault, Field, Maker } from '../field.ts'

/** How long an agent goes on without its disk, ms. */
const LINGER_MS = 400
const SLOW_MS = { min: 20, max: 120 }
/** Calls by which the log and SQLite reach the disk. */
const CALLS = 'fsync,fdatasync,pwrite64,pwritev,pwritev2'
/** For the last end of an agent that a fault has caused, ms. */
const REVIVED_MS = 10_000
const FILL_BYTES_MIN = 4_096
/** Of the 12 MB that an agent keeps of such a disk. */
const SHORT_BYTES = 8 * 1024 * 1024
/** For strace to say that it is there. */
const ATTACH_MS = 2_000

export const powerCut: Maker = async field => {
  const { disks, chance, agents } = field
  const first = await field.victim()
  if (disks === null || first === null) return null
  const all = chance.happens(0.25)
  const nodes = all ? field.free : [first]
  const releases = nodes.flatMap(node => [field.take(node), agents.allowEnd(node)])
  releases.push(field.breakDisk())
  await disks.cut(nodes.map(diskOf))
  await sleep(chance.within(0, LINGER_MS))
  await Promise.all(nodes.map(node => agents.kill(node)))
  return {
    what: `power cut of ${nodes.map(({ id }) => id).join(' ')}`,
    heal: async () => {
      for (const node of nodes) await disks.restore(diskOf(node))
      for (const node of nodes) await agents.start(node)
      for (const release of releases) release()
    },
  }
}

/** ENOSPC for whatever wants more. The agent may end, and is started again once there is space. */
export const diskFull: Maker = field => filled(field, 0)

/** Less is left than an agent keeps for what is under way: as leader it hands over, and nobody has to end. */
export const diskShort: Maker = field => filled(field, SHORT_BYTES)

async function filled(field: Field, leave: number): Promise<Fault | null> {
  const { disks } = field
  const node = await field.victim()
  if (disks === null || node === null) return null
  const releases = [field.take(node), field.agents.allowEnd(node), field.breakDisk()]
  const file = join(diskOf(node), 'fill')
  await fill(file, diskOf(node), leave)
  return {
    what: `the disk of ${node.id} is ${leave === 0 ? '' : 'nearly '}full`,
    heal: async () => {
      rmSync(file, { force: true })
      await field.agents.revive(node, REVIVED_MS)
      for (const release of releases) release()
    },
  }
}

/** The next write or fsync of one of its threads fails: the agent has to end. */
export const fsyncError: Maker = field => traced(field, 'fsync error', 'error=EIO:when=1')

export const slowDisk: Maker = field => {
  const ms = field.chance.within(SLOW_MS.min, SLOW_MS.max)
  return traced(field, `each fsync and write takes ${ms} ms more`, `delay_enter=${ms * 1000}`)
}

async function traced(field: Field, what: string, injection: string) {
  const node = await field.victim()
  const pid = node === null ? null : agentPid(node)
  if (node === null || pid === null) return null
  const releases = [field.take(node), field.agents.allowEnd(node), field.breakDisk()]
  // Maybe it has ended of it by now.
  const detach = await attach(pid, injection)
  return {
    what: `${node.id}: ${what}`,
    heal: async () => {
      await detach()
      await field.agents.revive(node, REVIVED_MS)
      for (const release of releases) release()
    },
  }
}

/** @returns ends it */
async function attach(pid: number, injection: string): Promise<() => Promise<void>> {
  const args = ['-f', '-o', '/dev/null', '-e', `trace=${CALLS}`, '-p', String(pid)]
  const child = spawn('strace', [...args, '-e', `inject=${CALLS}:${injection}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const attached = new Promise<void>(resolve => {
    child.stderr.on('data', text => {
      if (String(text).includes('attached')) resolve()
    })
  })
  await Promise.race([attached, ended, sleep(ATTACH_MS, undefined, { ref: false })])
  return async () => {
    child.kill('SIGTERM')
    await ended
  }
}

async function fill(file: string, directory: string, leave: number): Promise<void> {
  const { bfree, bavail, bsize } = await statfs(directory)
  // Its parts grow smaller until not even one fits.
  let bytes = leave === 0 ? bfree * bsize : Math.max(0, bavail * bsize - leave)
  let offset = 0
  while (bytes >= FILL_BYTES_MIN) {
    try {
      await run('fallocate', ['-o', String(offset), '-l', String(bytes), file])
      offset += bytes
      if (leave > 0) return
    } catch {
      bytes = Math.floor(bytes / 2)
    }
  }
}
