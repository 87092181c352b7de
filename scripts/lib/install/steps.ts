/** Steps that are done in order, and undone in the other one when one of them fails. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'

export interface Step {
  /** in the infinitive: "write /etc/…" */
  readonly what: string
  /** nothing is to do */
  holds(): boolean
  /** @throws Error when it fails; then it has done nothing */
  perform(): void
  undo(): void
}

export interface StepOptions {
  readonly dryRun: boolean
  readonly say: (line: string) => void
}

/** @throws the error of the step that failed, after those before it were undone */
export function performAll(steps: readonly Step[], { dryRun, say }: StepOptions): void {
  const done: Step[] = []
  for (const step of steps) {
    if (step.holds()) {
      say(`there already: ${step.what}`)
      continue
    }
    say(`${dryRun ? 'would ' : ''}${step.what}`)
    if (dryRun) continue
    try {
      step.perform()
      done.push(step)
    } catch (error) {
      for (const earlier of done.reverse()) {
        say(`undo: ${earlier.what}`)
        earlier.undo()
      }
      throw error
    }
  }
}

/** A file with this text; what was there comes back when it is undone. */
export function fileStep(file: string, text: string, mode = 0o644): Step {
  let before: string | null = null
  return {
    what: `write ${file}`,
    holds: () => existsSync(file) && readFileSync(file, 'utf8') === text,
    perform: () => {
      before = existsSync(file) ? readFileSync(file, 'utf8') : null
      replaceFile(file, text, mode)
    },
    undo: () => {
      if (before === null) rmSync(file, { force: true })
      else replaceFile(file, before, mode)
    },
  }
}

/** What has no undo of its own: doing it again would do nothing. */
export function actStep(what: string, perform: () => void, holds = () => false): Step {
  return { what, holds, perform, undo: () => {} }
}

/** Whole or not at all; the mode of a file that was there stays. */
export function replaceFile(file: string, text: string, mode: number): void {
  mkdirSync(dirname(file), { recursive: true })
  const kept = existsSync(file) ? statSync(file).mode & 0o7777 : mode
  const staged = `${file}.raft-nginx-new`
  writeFileSync(staged, text)
  chmodSync(staged, kept)
  renameSync(staged, file)
}
