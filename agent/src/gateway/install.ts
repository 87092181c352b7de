/** Puts rendered files in place so that a fault never costs the files that worked. */

import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { linkOthers } from './stand-in.ts'

const STAGED = '.staged-'

export type Files = ReadonlyMap<string, string>
export type Verdict = { readonly ok: boolean; readonly text: string }

/**
 * A demo node's own prefix: everything is tested in a copy beside it, then renamed file by file.
 * @param test judges the copy: is given its nginx.conf, whose relative includes stay within the copy
 */
export function installPrefix(
  prefix: string,
  files: Files,
  test: (configFile: string) => Verdict,
  checkOnly: boolean,
): Verdict {
  for (const folder of ['logs', 'tmp', 'cache']) {
    mkdirSync(path.join(prefix, folder), { recursive: true })
  }
  // nginx opens its sockets to everybody: this folder does not.
  const run = path.join(prefix, 'run')
  mkdirSync(run, { recursive: true })
  chmodSync(run, 0o750)
  const staged = path.join(prefix, `${STAGED}${process.pid}`)
  try {
    writeFiles(staged, files)
    // An operator's site may name by a relative name what is beside nginx.conf.
    linkOthers(prefix, staged, name => name.startsWith(STAGED))
    const verdict = test(path.join(staged, 'nginx.conf'))
    if (verdict.ok && !checkOnly) for (const name of files.keys()) moveFile(staged, prefix, name)
    return verdict
  } finally {
    rmSync(staged, { recursive: true, force: true })
  }
}

/**
 * An operator's nginx: its configuration names our files by absolute path, so no copy of them can be tested. They are
 * exchanged, and exchanged back unless the whole passes; nginx does not look before it is told to reload.
 */
export function installDropIn(
  folder: string,
  files: Files,
  test: () => Verdict,
  checkOnly: boolean,
): Verdict {
  const staged = path.join(folder, `.raft-nginx-staged-${process.pid}`)
  const replaced = path.join(staged, 'replaced')
  try {
    writeFiles(staged, files)
    const undo = [...files.keys()].map(name => {
      const existed = moveIfThere(folder, replaced, name)
      moveFile(staged, folder, name)
      return { name, existed }
    })
    const verdict = test()
    if (!verdict.ok || checkOnly) {
      for (const { name, existed } of undo) {
        if (existed) moveFile(replaced, folder, name)
        else rmSync(path.join(folder, name))
      }
    }
    return verdict
  } finally {
    rmSync(staged, { recursive: true, force: true })
  }
}

function writeFiles(folder: string, files: Files): void {
  for (const [name, text] of files) {
    const file = path.join(folder, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}

function moveFile(from: string, to: string, name: string): void {
  const target = path.join(to, name)
  mkdirSync(path.dirname(target), { recursive: true })
  renameSync(path.join(from, name), target)
}

function moveIfThere(from: string, to: string, name: string): boolean {
  try {
    moveFile(from, to, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
