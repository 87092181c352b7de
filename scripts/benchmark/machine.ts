import { spawnSync } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'

const FLUSHES = 200
const FLUSH_BYTES = 4096

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  /** of the data folder */
  readonly filesystem: string
  /** 4 KiB appended and fdatasynced, alone on the disk: median of 200, microseconds */
  readonly fdatasyncUs: number
}

export function describeMachine(directory: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    filesystem: filesystemOf(directory),
    fdatasyncUs: medianFlushUs(directory),
  }
}

/** First line that each program prints of itself; `commit` is this checkout's. */
export function describeVersions(nginx: string | null): Record<string, string> {
  return {
    node: process.version,
    ...(nginx === null ? {} : { nginx: firstLine(nginx, ['-v']).replace(/^.*nginx\//, '') }),
    commit: firstLine('git', ['describe', '--always', '--dirty']),
  }
}

/** A file system in memory makes every fsync free. */
export function isInMemory(machine: Machine): boolean {
  return machine.filesystem === 'tmpfs' || machine.filesystem === 'ramfs'
}

function firstLine(program: string, args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(program, [...args], { encoding: 'utf8' })
  return status === 0 ? (`${stdout}${stderr}`.split('\n')[0] ?? '') : 'none'
}

function filesystemOf(directory: string): string {
  const covering = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
    .filter(([, mount = '']) => `${directory}/`.startsWith(mount === '/' ? '/' : `${mount}/`))
    .sort(([, one = ''], [, other = '']) => other.length - one.length)
  return covering[0]?.[2] ?? 'unknown'
}

function medianFlushUs(directory: string): number {
  const file = join(directory, 'flush-probe')
  const block = Buffer.alloc(FLUSH_BYTES, 1)
  const descriptor = openSync(file, 'w')
  const times: number[] = []
  for (let at = 0; at < FLUSHES; at += 1) {
    const startedAtMs = performance.now()
    writeSync(descriptor, block)
    fdatasyncSync(descriptor)
    times.push((performance.now() - startedAtMs) * 1000)
  }
  closeSync(descriptor)
  rmSync(file)
  return Math.round(times.sort((one, other) => one - other)[FLUSHES / 2] ?? Number.NaN)
}
