/** What a run leaves behind although it has ended everything: processes, mounts, loop devices. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { commandLine, processesUsing } from '../lib/processes.ts'

/** For what was ended to be gone: the kernel takes a loop device back a little later than its mount. */
const GONE_MS = 5_000
const POLL_MS = 50
const DEVICES = '/sys/block'

/** @param directory of the run: all that it has is in there @returns in words */
export async function leftOf(directory: string, withinMs = GONE_MS): Promise<readonly string[]> {
  const end = performance.now() + withinMs
  for (;;) {
    const left = [...processes(directory), ...mounts(directory), ...loopDevices(directory)]
    if (left.length === 0 || performance.now() > end) return left
    await sleep(POLL_MS)
  }
}

function processes(directory: string): string[] {
  return processesUsing(directory).map(pid => `process ${pid} is left: ${commandLine(pid)}`)
}

function mounts(directory: string): string[] {
  if (!existsSync('/proc/self/mounts')) return []
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const places = lines.map(line => line.split(' ')[1] ?? '')
  return places.filter(place => place.startsWith(directory)).map(place => `${place} is mounted`)
}

function loopDevices(directory: string): string[] {
  const names = existsSync(DEVICES) ? readdirSync(DEVICES) : []
  return names.flatMap(name => {
    const file = join(DEVICES, name, 'loop/backing_file')
    const image = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
    return image.startsWith(`${directory}/`) ? [`${name} is left, with ${image}`] : []
  })
}
