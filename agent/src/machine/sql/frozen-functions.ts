import { createHash } from 'node:crypto'
import Database from 'better-sqlite3'
import type { Moment } from '../sqlite/engine.ts'

/** A deterministic refusal from inside a statement. */
export class SqlRefusal extends Error {
  override readonly name = 'SqlRefusal'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Their first argument, or none at all, may mean now. */
const DATES = ['date', 'time', 'datetime', 'julianday', 'unixepoch'] as const
/** What they answer comes from this connection's past, which no replica shares. */
const OF_CONNECTION = ['changes', 'total_changes', 'last_insert_rowid'] as const
/** What they answer is rounded by each machine's C library, in its own way. */
const OF_LIBRARY = [
  ...['acos', 'acosh', 'asin', 'asinh', 'atan', 'atan2', 'atanh', 'cos', 'cosh', 'sin', 'sinh'],
  ...['tan', 'tanh', 'exp', 'ln', 'log', 'log10', 'log2', 'pow', 'power'],
] as const
/** They depend on the node's own clock or its time zone. */
const NODE_TIME: ReadonlySet<string> = new Set(['localtime', 'utc', 'subsec', 'subsecond'])
const BLOB_BYTES_MAX = 65_536

/**
 * Replaces SQLite's functions of time and chance on a writer's connection by ones that depend on nothing but
 * the entry: "now" is when the leader took the command, and what is drawn comes from its index, equal on
 * every node and unfit for secrets. They act wherever they hide: in a DEFAULT, a trigger, an ORDER BY.
 */
export class FrozenFunctions {
  #moment: Moment = { index: 0, timeMs: 0 }
  #drawn = 0
  /** with SQLite's own functions, which this connection does not have any more */
  readonly #plain = new Database(':memory:')

  constructor(db: Database.Database) {
    const own = (name: string, run: (...args: readonly unknown[]) => unknown) =>
      db.function(name, { varargs: true }, (...args: unknown[]) => run(...args))
    for (const name of DATES) own(name, (...args) => this.#date(name, [], args))
    own('strftime', (format, ...args) => this.#date('strftime', [format], args))
    own('timediff', (...args) =>
      this.#call(
        'timediff',
        args.map(arg => this.#frozen(arg)),
      ),
    )
    own('current_date', () => this.#now().slice(0, 10))
    own('current_time', () => this.#now().slice(11, 19))
    own('current_timestamp', () => this.#now().slice(0, 19))
    own('random', () => this.#draw(8).readBigInt64LE())
    own('randomblob', length => this.#draw(blobLength(length)))
    for (const name of [...OF_CONNECTION, ...OF_LIBRARY]) {
      own(name, () => {
        throw new SqlRefusal('NON_DETERMINISTIC', `${name}() differs between replicas`)
      })
    }
  }

  /** To be called before each command. */
  at(moment: Moment): void {
    this.#moment = moment
    this.#drawn = 0
  }

  close(): void {
    this.#plain.close()
  }

  #date(name: string, before: readonly unknown[], args: readonly unknown[]): unknown {
    const [when = 'now', ...modifiers] = args
    return this.#call(name, [...before, this.#frozen(when), ...modifiers.map(checkModifier)])
  }

  #frozen(when: unknown): unknown {
    const read = checkModifier(when)
    return typeof read === 'string' && read.toLowerCase() === 'now' ? this.#now() : read
  }

  /** `2026-01-31 12:00:00.000` */
  #now(): string {
    return new Date(this.#moment.timeMs).toISOString().replace('T', ' ').replace('Z', '')
  }

  #call(name: string, args: readonly unknown[]): unknown {
    const places = args.map(() => '?').join(', ')
    return this.#plain
      .prepare(`SELECT ${name}(${places})`)
      .pluck()
      .safeIntegers()
      .get(...args)
  }

  #draw(length: number): Buffer {
    const { index, timeMs } = this.#moment
    const blocks: Buffer[] = []
    for (let have = 0; have < length; have += 32) {
      const seed = `${index} ${timeMs} ${this.#drawn++}`
      blocks.push(createHash('sha256').update(seed).digest())
    }
    return Buffer.concat(blocks).subarray(0, length)
  }
}

function checkModifier(value: unknown): unknown {
  const read = asRead(value)
  if (typeof read === 'string' && NODE_TIME.has(read.trim().toLowerCase())) {
    throw new SqlRefusal('NON_DETERMINISTIC', `'${read.trim()}' depends on the node`)
  }
  return read
}

/** To SQLite's own functions bytes are a text too, and a text ends at its first NUL. */
function asRead(value: unknown): unknown {
  const text = value instanceof Uint8Array ? Buffer.from(value).toString() : value
  return typeof text === 'string' ? text.replace(/\0.*$/s, '') : text
}

function blobLength(length: unknown): number {
  const bytes = Math.max(1, Number(length))
  if (bytes <= BLOB_BYTES_MAX) return Math.floor(bytes)
  throw new SqlRefusal('TOO_LARGE', `randomblob() gives at most ${BLOB_BYTES_MAX} bytes`)
}
