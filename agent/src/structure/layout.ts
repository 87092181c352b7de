/** From keys to files: what may be there, and where it goes. Pure. */

import { createHash } from 'node:crypto'
import { upstreamBlock } from './upstream.ts'

/** One key and its value. */
export interface TreeRow {
  readonly key: string
  readonly value: Buffer
}

export interface LaidFile {
  readonly bytes: Buffer
  readonly mode: number
  /** `{{dir}}` in it becomes the directory of its release */
  readonly filled: boolean
}

/** path below the release → file; in the order of the paths */
export type Files = ReadonlyMap<string, LaidFile>

export type Layout =
  | { readonly kind: 'files'; readonly files: Files; readonly digest: string }
  /** everything that is wrong, one line each; begins with the key */
  | { readonly kind: 'faults'; readonly faults: readonly string[] }

export const LIMITS = { files: 2_000, bytes: 8 * 1024 * 1024, segments: 8, nameBytes: 100 } as const

/** No leading dot or dash: neither hidden nor an option. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/

const PUBLIC = 0o644
/** nginx reads private keys before it gives up root's rights. */
const PRIVATE = 0o600

type Placed = { readonly path: string; readonly file: LaidFile } | { readonly fault: string }

/** What each folder takes: the names below it, and the value, become a file, or a fault. */
const FOLDERS: Readonly<Record<string, (names: readonly string[], value: Buffer) => Placed>> = {
  'http.d': (names, value) => configFile('http.d', names, value),
  'stream.d': (names, value) => configFile('stream.d', names, value),
  upstreams: upstreamFile,
  certs: certificateFile,
  files: (names, bytes) => ({
    path: ['files', ...names].join('/'),
    file: { bytes, mode: PUBLIC, filled: false },
  }),
}

/** @param rows each key begins with `prefix` */
export function layOut(rows: readonly TreeRow[], prefix: string): Layout {
  const faults: string[] = []
  const files = new Map<string, LaidFile>()
  let bytes = 0
  for (const { key, value } of rows) {
    const name = key.slice(prefix.length)
    // A folder, as Consul's page makes them.
    if ((name === '' || name.endsWith('/')) && value.length === 0) continue
    const placed = place(name.split('/'), value)
    bytes += value.length
    if ('fault' in placed) faults.push(`${key}: ${placed.fault}`)
    else if (files.has(placed.path)) faults.push(`${key}: another key is ${placed.path} already`)
    else files.set(placed.path, placed.file)
  }
  const paths = [...files.keys()].sort()
  faults.push(...collisions(paths, prefix))
  if (files.size > LIMITS.files) faults.push(`${prefix}: more than ${LIMITS.files} keys`)
  if (bytes > LIMITS.bytes) faults.push(`${prefix}: more than ${LIMITS.bytes} bytes`)
  if (faults.length > 0) return { kind: 'faults', faults }
  const sorted = new Map(paths.map(path => [path, files.get(path) as LaidFile]))
  return { kind: 'files', files: sorted, digest: digestOf(sorted) }
}

function place(names: readonly string[], value: Buffer): Placed {
  const bad = names.find(name => !NAME.test(name) || name.length > LIMITS.nameBytes)
  if (bad !== undefined) {
    return {
      fault: `each part of a name is 1 to ${LIMITS.nameBytes} of A-Z a-z 0-9 . _ - and begins with none of . -`,
    }
  }
  if (names.length > LIMITS.segments) return { fault: `at most ${LIMITS.segments} parts` }
  const [folder = '', ...rest] = names
  const take = Object.hasOwn(FOLDERS, folder) ? FOLDERS[folder] : undefined
  if (take === undefined || rest.length === 0) {
    return { fault: `is in none of the folders ${Object.keys(FOLDERS).join(', ')}` }
  }
  if (folder !== 'files' && rest.length > 1) return { fault: `${folder} has no folders of its own` }
  return take(rest, value)
}

function configFile(folder: string, [name = '']: readonly string[], value: Buffer): Placed {
  if (!name.endsWith('.conf')) return { fault: 'a name here ends in .conf' }
  if (!isText(value)) return { fault: 'is no text in UTF-8' }
  return { path: `${folder}/${name}`, file: { bytes: value, mode: PUBLIC, filled: true } }
}

function upstreamFile([given = '']: readonly string[], value: Buffer): Placed {
  const name = given.replace(/\.json$/, '')
  const block = upstreamBlock(name, value.toString('utf8'))
  if ('fault' in block) return block
  const file = { bytes: Buffer.from(block.text), mode: PUBLIC, filled: false }
  return { path: `upstreams/${name}.conf`, file }
}

function certificateFile([name = '']: readonly string[], bytes: Buffer): Placed {
  const path = `certs/${name}`
  if (!isText(bytes) || !bytes.includes('-----BEGIN ')) return { fault: 'is no PEM' }
  const secret = bytes.includes('PRIVATE KEY-----')
  if (name.endsWith('.key')) return { path, file: { bytes, mode: PRIVATE, filled: false } }
  if (!name.endsWith('.pem')) return { fault: 'a name here ends in .pem or .key' }
  if (secret) return { fault: 'holds a private key: those are in files of their own, named .key' }
  return { path, file: { bytes, mode: PUBLIC, filled: false } }
}

/** A name that is a file cannot be a folder too. */
function collisions(paths: readonly string[], prefix: string): string[] {
  const known = new Set(paths)
  return paths.flatMap(path => {
    const names = path.split('/')
    const above = names.map((_, at) => names.slice(0, at).join('/')).find(one => known.has(one))
    return above === undefined ? [] : [`${prefix}${path}: ${prefix}${above} is a file`]
  })
}

function isText(bytes: Buffer): boolean {
  return !bytes.includes(0) && Buffer.from(bytes.toString('utf8')).equals(bytes)
}

/** The same for the same files. */
function digestOf(files: Files): string {
  const hash = createHash('sha256')
  for (const [path, { bytes, mode }] of files) {
    hash.update(`${path}\0${mode}\0${bytes.length}\0`).update(bytes)
  }
  return hash.digest('hex')
}
