/** Reads TAP as it comes, counts its leaves, and keeps what failed. */

export interface TapFailure {
  /** the tests around it and its own name, outermost first */
  readonly path: readonly string[]
  /** the YAML below it */
  readonly diagnostics: readonly string[]
}

/** A test of the outermost level that has ended: with `tap run` that is a file. */
export interface TapTest {
  readonly name: string
  readonly ok: boolean
  readonly ms: number | null
  /** leaves in it */
  readonly passed: number
  readonly failed: number
}

export interface TapCounts {
  readonly passed: number
  readonly failed: number
  /** SKIP and TODO: neither passed nor failed */
  readonly skipped: number
}

interface Level {
  points: number
  failures: number
  name: string
}

const POINT = /^(not )?ok\b(?: \d+)?(?: -)? ?(.*)$/
const DIRECTIVE = /(?:^|\s)#\s*(skip|todo)\b/i
const TIME = /\s# time=([0-9.]+)(ms|s)\s*$/
const INDENT = 4

/**
 * A leaf is a test point that is not the sum of points below it: an assertion, or a test without any. A sum that
 * failed though nothing in it did (a time-out, a wrong plan, a crash) is one failure of its own.
 */
export class TapReader {
  readonly failures: TapFailure[] = []
  #passed = 0
  #failed = 0
  #skipped = 0
  readonly #levels: Level[] = []
  #yaml: { readonly end: string; readonly lines: string[] | null } | null = null
  #lastFailure: { readonly depth: number; readonly lines: string[] } | null = null
  #before = { passed: 0, failed: 0 }
  readonly #onTest: (test: TapTest) => void

  constructor(onTest: (test: TapTest) => void) {
    this.#onTest = onTest
  }

  get counts(): TapCounts {
    return { passed: this.#passed, failed: this.#failed, skipped: this.#skipped }
  }

  line(line: string): void {
    if (this.#yaml !== null) {
      if (line === this.#yaml.end) this.#yaml = null
      else this.#yaml.lines?.push(line)
      return
    }
    const text = line.trimStart()
    const indent = line.length - text.length
    if (text === '---') this.#openYaml(indent)
    else if (indent % INDENT === 0) this.#statement(text, indent / INDENT)
  }

  #openYaml(indent: number): void {
    const last = this.#lastFailure
    const belongs = last !== null && indent === last.depth * INDENT + 2
    this.#yaml = { end: `${' '.repeat(indent)}...`, lines: belongs ? last.lines : null }
  }

  #statement(text: string, depth: number): void {
    const subtest = /^# Subtest: (.*)$/.exec(text)
    if (subtest !== null) {
      this.#levelAt(depth).name = unescaped(subtest[1] ?? '')
      return
    }
    if (text.startsWith('Bail out!')) {
      this.#fail(depth, text)
      return
    }
    const point = POINT.exec(text)
    if (point !== null) this.#point(depth, point[1] === undefined, point[2] ?? '')
  }

  #point(depth: number, ok: boolean, description: string): void {
    this.#lastFailure = null
    const own = this.#levelAt(depth)
    const below = this.#levels[depth + 1]
    const sums = below !== undefined && below.points > 0
    const failedBelow = below?.failures ?? 0
    this.#levels.length = depth + 1
    const name = nameOf(description)
    own.points++
    own.name = name
    own.failures += failedBelow
    if (DIRECTIVE.test(description)) this.#skipped++
    else if (!ok && failedBelow === 0) this.#fail(depth, name)
    else if (!sums && ok) this.#passed++
    own.name = ''
    if (depth === 0) this.#reportTest(name, ok, description)
  }

  #fail(depth: number, name: string): void {
    const lines: string[] = []
    const around = this.#levels.slice(0, depth).map(level => level.name)
    this.failures.push({ path: [...around, name], diagnostics: lines })
    this.#levelAt(depth).failures++
    this.#failed++
    this.#lastFailure = { depth, lines }
  }

  #reportTest(name: string, ok: boolean, description: string): void {
    const time = TIME.exec(description)
    const ms = time === null ? null : Number(time[1]) * (time[2] === 's' ? 1000 : 1)
    const passed = this.#passed - this.#before.passed
    const failed = this.#failed - this.#before.failed
    this.#before = { passed: this.#passed, failed: this.#failed }
    this.#onTest({ name, ok, ms, passed, failed })
  }

  #levelAt(depth: number): Level {
    while (this.#levels.length <= depth) this.#levels.push({ points: 0, failures: 0, name: '' })
    const level = this.#levels[depth]
    if (level === undefined) throw new Error('a level that was made is there')
    return level
  }
}

function nameOf(description: string): string {
  return unescaped(description.replace(TIME, '').replace(DIRECTIVE, ' # $1').trim())
}

function unescaped(text: string): string {
  return text.replaceAll('\\#', '#')
}
