import { dirname } from 'node:path'
import type { Disk, DiskFile } from '../../src/log/disk.ts'

/** One call that changes the disk, offered to the plan before it happens. */
export interface Operation {
  /** 1 for the disk's first. */
  readonly number: number
  readonly kind:
    | 'write'
    | 'truncate'
    | 'create'
    | 'make-directory'
    | 'rename'
    | 'remove'
    | 'sync-directory'
  readonly path: string
}

/** What befalls an operation instead of success; `keep` says which bytes of a write reach the platter. */
export interface Fault {
  readonly code: 'EIO' | 'ENOSPC' | 'CRASH'
  readonly keep: (offset: number, length: number) => boolean
}

interface Content {
  /** What a read sees until the power goes. */
  cached: Uint8Array
  /** What is left after that. */
  durable: Uint8Array
}

type Node = Content | 'directory'

/** A disk in memory that fails and loses power on command. Names are durable only once their directory is synced. */
export class SimulatedDisk implements Disk {
  #names = new Map<string, Node>([['/', 'directory']])
  #durableNames = new Map<string, Node>(this.#names)
  readonly #locks = new Set<string>()
  #crashed = false
  operations = 0
  /** Decides over each operation; null lets it succeed. */
  plan: (operation: Operation) => Fault | null = () => null

  /** The disk that the next start finds: the page cache survives a dead process, not a power loss. */
  restarted(cause: 'process died' | 'power lost' | 'power lost, names kept'): SimulatedDisk {
    const next = new SimulatedDisk()
    const names = cause === 'power lost' ? this.#durableNames : this.#names
    for (const path of [...names.keys()].sort()) {
      const node = names.get(path)
      if (node === undefined || !next.#names.has(dirname(path))) continue
      if (node === 'directory') next.#names.set(path, node)
      else {
        const cached = cause === 'process died' ? node.cached : node.durable
        next.#names.set(path, { cached: cached.slice(), durable: node.durable.slice() })
      }
    }
    next.#durableNames = new Map(
      [...next.#names].filter(([path]) => cause !== 'process died' || this.#durableNames.has(path)),
    )
    return next
  }

  /** The bytes of a file, as a read would see them; a copy. */
  bytes(path: string): Uint8Array {
    return this.#content(path).cached.slice()
  }

  /** Replaces a file behind everybody's back. */
  replace(path: string, bytes: Uint8Array): void {
    const content = { cached: bytes.slice(), durable: bytes.slice() }
    this.#names.set(path, content)
    this.#durableNames.set(path, content)
  }

  /** Removes a file behind everybody's back. */
  lose(path: string): void {
    this.#names.delete(path)
    this.#durableNames.delete(path)
  }

  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  async list(directory: string): Promise<string[]> {
    const paths = this.paths().filter(path => path !== '/' && dirname(path) === directory)
    return paths.map(path => path.slice(directory.length + (directory === '/' ? 0 : 1)))
  }

  async makeDirectory(path: string): Promise<boolean> {
    this.#change('make-directory', path)
    if (!this.#names.has(dirname(path))) throw failure('ENOENT')
    if (this.#names.has(path)) return false
    this.#names.set(path, 'directory')
    return true
  }

  async open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    if (mode === 'create') {
      this.#change('create', path)
      this.#names.set(path, { cached: new Uint8Array(0), durable: new Uint8Array(0) })
    }
    const content = this.#content(path)
    return {
      write: async (bytes, at) => this.#write(path, content, bytes, at),
      read: async (at, length) => content.cached.slice(at, at + length),
      size: async () => content.cached.length,
      truncate: async length => {
        this.#change('truncate', path)
        content.cached = content.cached.slice(0, length)
        content.durable = content.cached.slice()
      },
      close: async () => {},
    }
  }

  async rename(from: string, to: string): Promise<void> {
    this.#change('rename', to)
    this.#names.set(to, this.#content(from))
    this.#names.delete(from)
  }

  async remove(path: string): Promise<void> {
    this.#change('remove', path)
    this.#names.delete(path)
  }

  async syncDirectory(path: string): Promise<void> {
    this.#change('sync-directory', path)
    for (const name of this.#durableNames.keys()) {
      if (dirname(name) === path && !this.#names.has(name)) this.#durableNames.delete(name)
    }
    for (const [name, node] of this.#names) {
      if (dirname(name) === path) this.#durableNames.set(name, node)
    }
  }

  lock(path: string): { release(): void } | null {
    if (this.#locks.has(path)) return null
    this.#locks.add(path)
    return { release: () => void this.#locks.delete(path) }
  }

  #write(path: string, content: Content, bytes: Uint8Array, at: number): void {
    const fault = this.#change('write', path, true)
    const end = Math.max(content.cached.length, at + bytes.length)
    const grown = new Uint8Array(end)
    grown.set(content.cached)
    grown.set(bytes, at)
    content.cached = grown
    if (fault === null) {
      content.durable = grown.slice()
      return
    }
    const kept = [...bytes.keys()].filter(offset => fault.keep(offset, bytes.length))
    const length = Math.max(content.durable.length, at + (kept.at(-1) ?? -1) + 1)
    const torn = new Uint8Array(length)
    torn.set(content.durable)
    for (const offset of kept) torn[at + offset] = bytes[offset] ?? 0
    content.durable = torn
    throw failure(fault.code)
  }

  #change(kind: Operation['kind'], path: string, isWrite = false): Fault | null {
    if (this.#crashed) throw new Error('the disk has crashed')
    this.operations++
    const fault = this.plan({ number: this.operations, kind, path })
    if (fault?.code === 'CRASH') this.#crashed = true
    if (fault !== null && !isWrite) throw failure(fault.code)
    return fault
  }

  #content(path: string): Content {
    const node = this.#names.get(path)
    if (node === undefined || node === 'directory') throw failure('ENOENT')
    return node
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(`simulated ${code}`), { code })
}
