/**
 * Disks whose power can be cut: ext4 on a loop device. FS_IOC_SHUTDOWN makes the file system refuse every write
 * at once and forget what it had not written; mounted anew it holds what was fsynced, and some of the rest.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../net/tools.ts'

const BYTES = '256M'
/** nothing is written for the journal's sake meanwhile, and a rename does not flush what it names */
const MOUNT_OPTIONS = 'loop,commit=300,noauto_da_alloc'
/** for the last file of a process that was killed to be closed */
const UMOUNT_MS = 5_000
const POLL_MS = 10

/** FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, of every directory that is named */
const SHUT_DOWN = `my $flag = pack("L", 2);
for (@ARGV) { open(my $d, "<", $_) or die "$_: $!"; ioctl($d, 0x8004587d, $flag) // die "$_: $!" }`

export class Disks {
  readonly #mounted = new Set<string>()

  /** Mounts a new disk at each of these. */
  static async make(directories: readonly string[]): Promise<Disks> {
    const disks = new Disks()
    try {
      for (const directory of directories) await disks.#make(directory)
    } catch (error) {
      await disks.close()
      throw error
    }
    return disks
  }

  /** Nothing can be written there any more, and what was not fsynced will be gone. */
  async cut(directories: readonly string[]): Promise<void> {
    await run('perl', ['-e', SHUT_DOWN, ...directories])
  }

  /** As after the power came back. Nobody may have a file open there. */
  async restore(directory: string): Promise<void> {
    await this.#unmount(directory)
    await this.#mount(directory)
  }

  /** The images stay. */
  async close(): Promise<void> {
    for (const directory of [...this.#mounted]) await this.#unmount(directory)
  }

  async #make(directory: string): Promise<void> {
    mkdirSync(directory, { recursive: true })
    const image = imageOf(directory)
    await run('truncate', ['-s', BYTES, image])
    await run('mkfs.ext4', ['-q', '-F', image])
    await this.#mount(directory)
  }

  async #mount(directory: string): Promise<void> {
    await run('mount', ['-o', MOUNT_OPTIONS, imageOf(directory), directory])
    this.#mounted.add(directory)
  }

  async #unmount(directory: string): Promise<void> {
    const end = performance.now() + UMOUNT_MS
    for (;;) {
      try {
        await run('umount', [directory])
        this.#mounted.delete(directory)
        return
      } catch (error) {
        if (performance.now() > end) throw error
        await sleep(POLL_MS)
      }
    }
  }
}

/** What is mounted there. */
export function imageOf(directory: string): string {
  return `${directory}.img`
}

/** Why no power can be cut here, by trying it: null where what was fsynced is kept, and the rest is lost. */
export async function whyNoPowerCuts(): Promise<string | null> {
  const base = await mkdtemp(join(tmpdir(), 'power-'))
  const directory = join(base, 'disk')
  let disks: Disks | null = null
  try {
    disks = await Disks.make([directory])
    const [kept, lost] = [join(directory, 'kept'), join(directory, 'lost')]
    append(kept, 'synced', true)
    append(kept, ', lost', false)
    append(lost, 'lost', false)
    await disks.cut([directory])
    await disks.restore(directory)
    if (textOf(kept) !== 'synced') return `a file that was fsynced holds "${textOf(kept)}"`
    if (textOf(lost) !== '') return 'what was not fsynced is kept'
    return null
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
  } finally {
    await disks?.close()
    rmSync(base, { recursive: true, force: true })
  }
}

function append(file: string, text: string, synced: boolean): void {
  const descriptor = openSync(file, 'a')
  writeSync(descriptor, text)
  if (synced) fsyncSync(descriptor)
  closeSync(descriptor)
  if (!synced) return
  const folder = openSync(join(file, '..'), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
