import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const AGENT = join(import.meta.dirname, '..')
/** Below the repository, so that packages resolve, and ignored by all tools. */
const BUILD = join(AGENT, '../build')

/** A change of one place of the sources. */
export interface Patch {
  /** below agent/ */
  readonly file: string
  /** occurs there once */
  readonly find: string
  readonly replace: string
}

/** A copy of the agent's sources and tests, to be changed and run. */
export class SourceCopy {
  /** takes the place of agent/ */
  readonly agent: string
  readonly #root: string

  /** @param purpose begins the name of its directory */
  constructor(purpose: string) {
    mkdirSync(BUILD, { recursive: true })
    this.#root = mkdtempSync(join(BUILD, `${purpose}-`))
    this.agent = join(this.#root, 'agent')
    for (const part of ['src', 'test']) {
      cpSync(join(AGENT, part), join(this.agent, part), { recursive: true })
    }
  }

  /**
   * @returns what undoes it
   * @throws RangeError when the patch does not fit the source any more
   */
  patch({ file, find, replace }: Patch): () => void {
    const path = join(this.agent, file)
    const source = readFileSync(path, 'utf8')
    const found = source.split(find).length - 1
    if (found !== 1) throw new RangeError(`its line occurs ${found} times`)
    writeFileSync(
      path,
      source.replace(find, () => replace),
    )
    return () => writeFileSync(path, source)
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true })
  }
}
