/** The nginx beside a companion: tests a release without touching what counts, and sees whether a reload took. */

import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runNginx, startNginx } from '../gateway/nginx-binary.ts'
import { linkOthers } from '../gateway/stand-in.ts'

export interface NginxPlace {
  readonly binary: string
  /** its main configuration, absolute */
  readonly main: string
  /** as for `nginx -p`; null: the one it was built with */
  readonly prefix: string | null
  /** of its master; null: as the main configuration says, or as it was built */
  readonly pidFile: string | null
  /** beside `main`: what it includes, by this relative name */
  readonly link: string
  /** a directory of the companion's own */
  readonly work: string
}

export type Check =
  | { readonly kind: 'passed'; readonly warning: string | null }
  | { readonly kind: 'refused'; readonly words: string }
  /** nothing of the release is in nginx's configuration */
  | { readonly kind: 'unincluded' }

export type Reload =
  | { readonly kind: 'took' }
  | { readonly kind: 'refused'; readonly words: string }
  | { readonly kind: 'stopped' }

/** A name that is looked up and not found takes nginx long, ms. */
const CHECK_MS = 60_000
const POLL_MS = 25
/** New workers come in milliseconds, of a busy machine in seconds. */
const RELOAD_MS = 20_000
/** nginx tries five times, half a second apart, to get a socket that somebody else has. */
const AFTER_ALARM_MS = 4_000
const LOG_BYTES_MAX = 64 * 1024
const BAD = /\[(?:emerg|alert|crit)\]/
/** Says nothing of a reload. */
const WORKER_ENDED = /worker process \d+ exited/
/** It tries again. */
const BIND = /bind\(\)/

export class NginxControl {
  readonly #place: NginxPlace
  readonly #reloadMs: number

  /** @param reloadMs how long a reload is waited for */
  constructor(place: NginxPlace, reloadMs = RELOAD_MS) {
    this.#place = place
    this.#reloadMs = reloadMs
  }

  /**
   * Tests the whole configuration as it would be with this release. nginx resolves relative names beside its main
   * file: in a directory of links to all that is there, one of them leads to the release instead.
   */
  async check(directory: string): Promise<Check> {
    const { binary, main, prefix, link, work } = this.#place
    const shadow = join(work, 'check')
    rmSync(shadow, { recursive: true, force: true })
    mkdirSync(shadow, { recursive: true })
    const from = dirname(main)
    symlinkSync(directory, join(shadow, link))
    linkOthers(from, shadow, name => name === link)
    const own = prefix === null ? [] : ['-p', prefix]
    const args = ['-T', ...own, '-c', join(shadow, basename(main))]
    const { ok, stdout, stderr } = await startNginx(binary, args, CHECK_MS)
    rmSync(shadow, { recursive: true, force: true })
    const words = stderr.replaceAll(`${shadow}/`, `${from}/`)
    if (!ok) return { kind: 'refused', words: chosen(words, BAD) ?? words }
    // nginx names each file that it reads.
    if (!stdout.includes(`# configuration file ${shadow}/${link}/`)) return { kind: 'unincluded' }
    return { kind: 'passed', warning: chosen(words, /\[warn\]/) }
  }

  /** Process id of its master; null: it does not run. */
  master(): number | null {
    let text: string
    try {
      text = readFileSync(this.#pidFile(), 'utf8')
    } catch {
      return null
    }
    const pid = Number.parseInt(text, 10)
    // A file that outlived its nginx may name anybody by now.
    return pid > 1 && commandLine(pid).includes('nginx: master process') ? pid : null
  }

  /** Old workers that still have clients. */
  draining(): number {
    const master = this.master()
    return master === null ? 0 : workersOf(master).filter(({ old }) => old).length
  }

  /**
   * Tells the master, and waits until it has workers with what there is now and the former ones take nothing more, or
   * until it says that it will not.
   */
  async reload(): Promise<Reload> {
    const master = this.master()
    if (master === null) return { kind: 'stopped' }
    const before = new Set(workersOf(master).map(({ pid }) => pid))
    const logs = logsOf(master)
    process.kill(master, 'SIGHUP')
    let deadline = performance.now() + this.#reloadMs
    let alarm: string | null = null
    let hasNew = false
    while (performance.now() < deadline) {
      await sleep(POLL_MS)
      if (this.master() !== master) return { kind: 'stopped' }
      const { anew, remaining } = takers(master, before)
      hasNew = anew > 0
      if (alarm === null) {
        alarm = alarmIn(logs, master)
        if (alarm !== null) deadline = performance.now() + AFTER_ALARM_MS
      }
      // Of a refused reload, a new worker is one in the place of one that died.
      if (hasNew && remaining === 0 && !isFinal(alarm)) return { kind: 'took' }
    }
    // A former one that hangs, in a write to its disk for one, hinders nobody else.
    if (hasNew && alarm === null) return { kind: 'took' }
    const words =
      alarmIn(logs, master) ?? `no new workers within ${this.#reloadMs} ms of the reload`
    return { kind: 'refused', words }
  }

  /** Tells the master, whatever comes of it. */
  tell(): void {
    const master = this.master()
    if (master !== null) process.kill(master, 'SIGHUP')
  }

  #pidFile(): string {
    const { pidFile, main, binary, prefix } = this.#place
    if (pidFile !== null) return pidFile
    const written = /^(?:[^#\n]*;)?[ \t]*pid[ \t]+["']?([^;"'\s]+)["']?[ \t]*;/m.exec(
      readFileSync(main, 'utf8'),
    )
    const build = written === null || prefix === null ? runNginx(binary, ['-V']).text : ''
    const built = (name: string) => new RegExp(`--${name}=(\\S+)`).exec(build)?.[1]
    const file = written?.[1] ?? built('pid-path') ?? 'logs/nginx.pid'
    return resolve(prefix ?? built('prefix') ?? '/', file)
  }
}

interface Worker {
  readonly pid: number
  /** serves what it has, and takes nothing more */
  readonly old: boolean
}

function workersOf(master: number): Worker[] {
  return readOr(`/proc/${master}/task/${master}/children`)
    .split(' ')
    .filter(Boolean)
    .flatMap(text => {
      const pid = Number(text)
      const line = commandLine(pid)
      if (!line.includes('nginx: worker process')) return []
      return [{ pid, old: line.includes('shutting down') }]
    })
}

/** How many workers take connections: new ones, and those of before. For a tenth of a second both do. */
function takers(master: number, before: ReadonlySet<number>) {
  const taking = workersOf(master).filter(({ old }) => !old)
  const remaining = taking.filter(({ pid }) => before.has(pid)).length
  return { anew: taking.length - remaining, remaining }
}

function commandLine(pid: number): string {
  return readOr(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** A file that the master writes to, and how long it is now. */
interface Log {
  readonly path: string
  readonly from: number
}

function logsOf(master: number): Log[] {
  const folder = `/proc/${master}/fd`
  const paths = new Set<string>()
  try {
    for (const fd of readdirSync(folder)) paths.add(readlinkSync(join(folder, fd)))
  } catch {
    // another user's: what it writes is not seen
  }
  return [...paths].flatMap(path => {
    const stats = path.startsWith('/') ? statSync(path, { throwIfNoEntry: false }) : undefined
    return stats?.isFile() ? [{ path, from: stats.size }] : []
  })
}

/** What the master has complained of since; null: nothing. */
function alarmIn(logs: readonly Log[], master: number): string | null {
  const lines = logs.flatMap(log => appended(log).split('\n'))
  const said = lines.filter(line => line.includes(` ${master}#`))
  const own = said.filter(line => BAD.test(line) && !WORKER_ENDED.test(line))
  return own.length === 0 ? null : [...new Set(own.map(withoutHead))].join('\n')
}

function isFinal(alarm: string | null): boolean {
  return alarm !== null && !alarm.split('\n').every(line => BIND.test(line))
}

function withoutHead(line: string): string {
  return line.replace(/^.*?(\[[a-z]+\]) \d+#\d+: /, '$1 ')
}

function appended({ path, from }: Log): string {
  try {
    const fd = openSync(path, 'r')
    try {
      const length = Math.min(Math.max(0, fstatSync(fd).size - from), LOG_BYTES_MAX)
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(fd, bytes, 0, length, from)).toString('utf8')
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}

/** The lines of this kind; null: there are none. */
function chosen(text: string, kind: RegExp): string | null {
  const lines = text.split('\n').filter(line => kind.test(line))
  return lines.length === 0 ? null : lines.map(line => line.replace(/^nginx: /, '')).join('\n')
}
