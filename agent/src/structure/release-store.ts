/** Releases on disk: each a directory that never changes, and a link to the one that counts. */

import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { syncDirectoryNow } from '../os/durable-file.ts'
import type { Files } from './layout.ts'

/** One rendered tree. */
export interface Release {
  /** of its directory */
  readonly name: string
  readonly directory: string
  /** of its files, whatever the index */
  readonly digest: string
}

/** What is known to be so: nginx runs `release`, which is the tree at `index`. */
export interface Confirmed {
  readonly release: string
  readonly index: number
}

/** Of those that nothing names any more: old workers may still serve their files. */
const KEPT = 5
const NAME = /^[0-9]+-([0-9a-f]{64})$/
const ENTRY = { http: ['upstreams', 'http.d'], stream: ['stream.d'] } as const
const FOLDERS = ['http.d', 'stream.d', 'upstreams', 'certs', 'files']

export class ReleaseStore {
  readonly #directory: string
  readonly #releases: string
  readonly #link: string
  readonly #noted: string

  /** @param link what nginx's configuration includes: becomes a symbolic link to a release */
  constructor(directory: string, link: string) {
    this.#directory = directory
    this.#releases = join(directory, 'releases')
    this.#link = link
    this.#noted = join(directory, 'confirmed.json')
  }

  /**
   * Removes what an interrupted run left.
   * @throws Error when something else is where the link has to be
   */
  open(): void {
    mkdirSync(this.#releases, { recursive: true })
    for (const name of readdirSync(dirname(this.#link))) {
      if (!name.startsWith(`${basename(this.#link)}.new-`)) continue
      rmSync(join(dirname(this.#link), name), { force: true })
    }
    for (const name of readdirSync(this.#releases)) {
      if (!NAME.test(name)) rmSync(join(this.#releases, name), { recursive: true, force: true })
    }
    const there = lstatSync(this.#link, { throwIfNoEntry: false })
    if (there !== undefined && !there.isSymbolicLink()) {
      throw new Error(`${this.#link} is there, and no symbolic link: it is left alone`)
    }
  }

  /** The one that counts; null: none yet. */
  current(): Release | null {
    try {
      const name = basename(readlinkSync(this.#link))
      return existsSync(join(this.#releases, name)) ? this.#named(name) : null
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null
      throw error
    }
  }

  confirmed(): Confirmed | null {
    try {
      return JSON.parse(readFileSync(this.#noted, 'utf8')) as Confirmed
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return null
      throw error
    }
  }

  /** Of the one that was confirmed last, where it is still there. */
  find(name: string): Release | null {
    return existsSync(join(this.#releases, name)) ? this.#named(name) : null
  }

  /** Writes a release whole, or not at all; durable when it returns. It does not count yet. */
  write(
    files: Files,
    { index, digest }: { readonly index: number; readonly digest: string },
  ): Release {
    const name = `${index}-${digest}`
    const release = { name, directory: join(this.#releases, name), digest }
    // Whole, since its name is there: it was renamed when it was.
    if (existsSync(release.directory)) return release
    const staged = join(this.#releases, `.new-${randomBytes(4).toString('hex')}`)
    try {
      this.#fill(staged, { release, files, index })
    } catch (error) {
      rmSync(staged, { recursive: true, force: true })
      throw error
    }
    renameSync(staged, release.directory)
    syncDirectoryNow(this.#releases)
    return release
  }

  #fill(
    staged: string,
    { release, files, index }: { release: Release; files: Files; index: number },
  ): void {
    mkdirSync(staged, { mode: 0o755 })
    for (const folder of FOLDERS) mkdirSync(join(staged, folder), { mode: 0o755 })
    for (const [path, { bytes, mode, filled }] of files) {
      const text = filled ? filledIn(bytes, release.directory) : bytes
      writeSynced(join(staged, path), text, mode)
    }
    for (const [level, folders] of Object.entries(ENTRY)) {
      const lines = folders.map(folder => `include ${release.directory}/${folder}/*.conf;\n`)
      const head = `# Made of keys, index ${index}. Changes here are lost.\n`
      writeSynced(join(staged, `${level}.conf`), Buffer.from(head + lines.join('')), 0o644)
    }
    syncTree(staged)
  }

  /** From now on this one counts: at once, and durably. */
  link({ directory }: Release): void {
    const staged = `${this.#link}.new-${randomBytes(4).toString('hex')}`
    symlinkSync(directory, staged)
    renameSync(staged, this.#link)
    syncDirectoryNow(dirname(this.#link))
  }

  /** Notes what runs, and forgets what is old. */
  confirm(confirmed: Confirmed): void {
    writeSynced(`${this.#noted}.new`, Buffer.from(JSON.stringify(confirmed)), 0o644)
    renameSync(`${this.#noted}.new`, this.#noted)
    syncDirectoryNow(this.#directory)
    this.#prune(confirmed.release)
  }

  #prune(running: string): void {
    const names = readdirSync(this.#releases).filter(name => NAME.test(name))
    const byAge = names.sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))
    const named = new Set([running, this.current()?.name])
    for (const name of byAge.filter(name => !named.has(name)).slice(KEPT)) {
      rmSync(join(this.#releases, name), { recursive: true, force: true })
    }
  }

  #named(name: string): Release {
    return { name, directory: join(this.#releases, name), digest: NAME.exec(name)?.[1] ?? '' }
  }
}

function filledIn(bytes: Buffer, directory: string): Buffer {
  return Buffer.from(bytes.toString('utf8').replaceAll('{{dir}}', directory))
}

function writeSynced(path: string, bytes: Buffer, mode: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  const fd = openSync(path, 'w', mode)
  try {
    writeFileSync(fd, bytes)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  // whatever the umask is
  chmodSync(path, mode)
}

/** Its directories: the files are. */
function syncTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) syncTree(join(directory, entry.name))
  }
  chmodSync(directory, 0o755)
  syncDirectoryNow(directory)
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
