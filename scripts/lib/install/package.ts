/** The package as it is installed: what runs, without what only builds or tests it. */

import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { ROOT } from '../layout.ts'
import { removeStep, type Step } from './steps.ts'

const FOLDERS = ['agent/dist', 'build', 'nginx']
/** In the package's folder: of what it was copied. */
export const STAMP = '.installed'
/** Of the database driver: only its compiled file is needed. */
const SOURCES =
  /^node_modules\/better-sqlite3\/(?:deps|src|build\/(?!Release(?:$|\/better_sqlite3\.node$)))/

/** Copies it beside what is there, then exchanges the two. */
export function packageStep(share: string): Step {
  const staged = `${share}.new`
  const old = `${share}.old`
  return {
    what: `copy the package to ${share}`,
    holds: () =>
      existsSync(join(share, STAMP)) && readFileSync(join(share, STAMP), 'utf8') === stamp(),
    perform: () => {
      rmSync(staged, { recursive: true, force: true })
      rmSync(old, { recursive: true, force: true })
      try {
        copyTo(staged)
      } catch (error) {
        rmSync(staged, { recursive: true, force: true })
        throw error
      }
      if (existsSync(share)) renameSync(share, old)
      renameSync(staged, share)
    },
    undo: () => {
      rmSync(share, { recursive: true, force: true })
      if (!existsSync(old)) return `remove ${share}`
      renameSync(old, share)
      return `put the former package back to ${share}`
    },
  }
}

/** With what an installation that was killed has left beside it. */
export function removePackage(share: string): Step[] {
  const beside = [`${share}.old`, `${share}.new`].filter(existsSync)
  return [share, ...beside].map(removeStep)
}

/** After everything else has worked. */
export function forgetOldPackage(share: string): void {
  rmSync(`${share}.old`, { recursive: true, force: true })
}

function copyTo(folder: string): void {
  const filter = (source: string) => !SOURCES.test(relative(ROOT, source))
  for (const name of [...FOLDERS, 'package.json', ...dependencies()]) {
    const from = join(ROOT, name)
    // optional ones that this platform does not have
    if (existsSync(from))
      cpSync(from, join(folder, name), { recursive: true, filter, dereference: true })
  }
  mkdirSync(folder, { recursive: true })
  symlinkSync('build/njs', join(folder, 'njs'))
  symlinkSync('nginx/examples', join(folder, 'examples'))
  writeFileSync(join(folder, STAMP), stamp())
}

/** Folders of the packages that run with it, as the lock file has them. */
function dependencies(): string[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>
  }
  return Object.entries(packages).flatMap(([path, { dev = false }]) =>
    path === '' || dev ? [] : [path],
  )
}

/** The same for the same files. */
function stamp(): string {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'package-lock.json')))
  for (const folder of FOLDERS) {
    const names = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    const files = names
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
    for (const file of files.sort())
      hash.update(`${relative(ROOT, file)}\0`).update(readFileSync(file))
  }
  return `${hash.digest('hex')}\n`
}
