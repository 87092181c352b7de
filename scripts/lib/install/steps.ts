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
  /** in the infinitive: "write /etc/…"; '' is not said */
  readonly what: string
  /** nothing is to do */
  holds(): boolean
  /** @throws Error when it fails; then it has done nothing */
  perform(): void
  /** Takes back what `perform` did. @returns what it did, in the infinitive; null: there was nothing to take back */
  undo(): string | null
  /** why it is neither done nor asked whether it holds */
  readonly leftOut?: string
}

export interface StepOptions {
  readonly dryRun: boolean
  readonly say: (line: string) => void
}

/**
 * @returns the steps that were done
 * @throws the error of the step that failed, after those before it were undone
 */
export function performAll(steps: readonly Step[], options: StepOptions): Step[] {
  const done: Step[] = []
  for (const step of steps) {
    if (!isDue(step, options)) continue
    try {
      step.perform()
      done.push(step)
    } catch (error) {
      for (const earlier of done.reverse()) takeBack(earlier, options.say)
      throw error
    }
  }
  return done
}

/**
 * Each of them, whatever becomes of the others.
 * @throws Error with all that failed
 */
export function performEach(steps: readonly Step[], options: StepOptions): void {
  const faults: string[] = []
  for (const step of steps) {
    try {
      if (isDue(step, options)) step.perform()
    } catch (error) {
      faults.push(`could not ${step.what}: ${messageOf(error)}`)
    }
  }
  if (faults.length > 0) throw new Error(`${faults.join('\n')}\nall the rest is done`)
}

function isDue(step: Step, { dryRun, say }: StepOptions): boolean {
  if (step.leftOut !== undefined) {
    say(`left out: ${step.what} (${step.leftOut})`)
    return false
  }
  if (step.holds()) {
    if (step.what !== '') say(`nothing to do: ${step.what}`)
    return false
  }
  if (step.what !== '') say(`${dryRun ? 'would ' : ''}${step.what}`)
  return !dryRun
}

/** One that cannot be taken back does not keep the others from it. */
function takeBack(step: Step, say: (line: string) => void): void {
  try {
    const what = step.undo()
    if (what !== null) say(`undo: ${what}`)
  } catch (error) {
    say(`could not undo: ${step.what}: ${messageOf(error)}`)
  }
}

/** A file with this text; what was there comes back when it is undone. */
export function fileStep(file: string, text: string, mode = 0o644): Step {
  let before: string | null = null
  let made: string | undefined
  return {
    what: `write ${file}`,
    holds: () => existsSync(file) && readFileSync(file, 'utf8') === text,
    perform: () => {
      before = existsSync(file) ? readFileSync(file, 'utf8') : null
      made = replaceFile(file, text, mode)
    },
    undo: () => {
      if (before !== null) return putBack(file, before)
      rmSync(made ?? file, { recursive: true, force: true })
      return `remove ${made ?? file}`
    },
  }
}

/** Without this file, which comes back when it is undone. */
export function takeFileStep(file: string): Step {
  let before = ''
  return {
    what: `remove ${file}`,
    holds: () => !existsSync(file),
    perform: () => {
      before = readFileSync(file, 'utf8')
      rmSync(file)
    },
    undo: () => putBack(file, before),
  }
}

/** For good: file or folder. */
export function removeStep(path: string): Step {
  const perform = () => rmSync(path, { recursive: true, force: true })
  return actStep(`remove ${path}`, perform, () => !existsSync(path))
}

/** What has no undo of its own: doing it again would do nothing. */
export function actStep(what: string, perform: () => void, holds = () => false): Step {
  return { what, holds, perform, undo: () => null }
}

/** Does nothing; is undone after all that follows it. */
export function afterUndo(undo: () => string | null): Step {
  return { what: '', holds: () => false, perform: () => {}, undo }
}

/** @returns what it did */
export function putBack(file: string, text: string): string {
  replaceFile(file, text, 0o644)
  return `put ${file} back as it was`
}

/**
 * Whole or not at all; the mode of a file that was there stays.
 * @returns the topmost folder that had to be made for it
 */
export function replaceFile(file: string, text: string, mode: number): string | undefined {
  const made = mkdirSync(dirname(file), { recursive: true })
  const kept = existsSync(file) ? statSync(file).mode & 0o7777 : mode
  const staged = `${file}.raft-nginx-new`
  writeFileSync(staged, text)
  chmodSync(staged, kept)
  renameSync(staged, file)
  return made
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
