import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { leftOf } from './left.ts'
import { Lifetime } from './lifetime.ts'

/** What a run of faults has for itself. */
export interface Stage {
  readonly directory: string
  readonly lifetime: Lifetime
}

/** Where what was violated is noted. */
interface Book {
  readonly violationCount: number
  violation(text: string): void
}

export interface Ended<Kind extends Book> {
  readonly book: Kind
  readonly seconds: number
  /** data and logs; null: they are gone, since nothing was violated */
  readonly directory: string | null
}

/**
 * Plays in a directory of its own, ends what was begun, and keeps the directory where something was violated, an
 * error of the run itself and what cannot be ended among it.
 * @throws Error when it is interrupted with nothing to keep
 */
export async function keptRun<Kind extends Book>(
  { signal, keep }: { readonly signal: AbortSignal | null; readonly keep: boolean },
  open: (stage: Stage) => Kind,
  play: (stage: Stage, book: Kind) => Promise<void>,
): Promise<Ended<Kind>> {
  const begin = performance.now()
  const stage = {
    directory: realpathSync(mkdtempSync(join(tmpdir(), 'faults-'))),
    lifetime: new Lifetime(),
  }
  const book = open(stage)
  try {
    await play(stage, book)
  } catch (error) {
    if (signal?.aborted !== true)
      book.violation(error instanceof Error ? error.message : String(error))
  } finally {
    await stage.lifetime.end()
    for (const text of await leftOf(stage.directory)) book.violation(text)
  }
  const kept = keep || book.violationCount > 0
  if (!kept) rmSync(stage.directory, { recursive: true, force: true })
  if (!kept) signal?.throwIfAborted()
  const seconds = Math.round((performance.now() - begin) / 1000)
  return { book, seconds, directory: kept ? stage.directory : null }
}
