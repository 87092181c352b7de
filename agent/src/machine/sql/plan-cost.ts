import type { Database } from 'better-sqlite3'
import type { Token } from './tokens.ts'

/** What the loops of one command may come to, one inside another multiplied: some seconds of every node. */
export const STEPS_MAX = 20_000_000
/** Nobody counts what a function gives row by row; a list of so many would be a body of its own. */
const VIRTUAL_ROWS = 100_000
/** Where the plan of a trigger begins. */
const FIRST = 0

/** A line of EXPLAIN QUERY PLAN. */
interface Line {
  readonly id: number
  readonly parent: number
  readonly detail: string
}

/** A step of EXPLAIN. */
interface Step {
  readonly addr: number
  readonly opcode: string
  readonly p2: number
}

/** Done once for a statement, whatever stands beside it. */
const ONCE = /^(?:SCALAR SUBQUERY|MATERIALIZE|CO-ROUTINE)\b/
/** One part after the other. */
const PARTS = /^(?:COMPOUND QUERY|MERGE|MULTI-INDEX OR)\b/
/** What the parts are, and what orders, filters or remembers; a loop in it has a line of its own. */
const FRAME =
  /^(?:CORRELATED|LIST SUBQUERY|LEFT-MOST SUBQUERY|UNION|EXCEPT|INTERSECT|LEFT$|RIGHT$|INDEX \d|USE TEMP B-TREE|BLOOM FILTER|SCAN CONSTANT ROW$)/
/** What loops elsewhere go through, under any name. */
const KEPT = /^(?:MATERIALIZE|CO-ROUTINE|LIST SUBQUERY)\b/
const GIVEN = /^SCAN (\d+)(?:-ROW VALUES CLAUSE| CONSTANT ROWS?)/
const BY_ROWID = /^SEARCH \S+ USING INTEGER PRIMARY KEY \(rowid=\?\)/
const BY_INDEX = /^SEARCH \S+ USING (?:COVERING )?INDEX (\S+) \(([^)]*)\)/
const SCANNED = /^(?:SCAN|SEARCH) /

/**
 * What a statement may cost at most, as a number of rows that it goes through: one loop over a table inside another
 * counts as the product. The plan is what SQLite would do; it is equal on every node, and so is what is counted here.
 */
export class PlanCost {
  readonly #db: Database
  readonly #words: ReadonlySet<string>
  readonly #commas: number
  /** rows of the largest table, or part of the plan: which one an alias means, a plan does not tell. Null: not counted yet */
  #largest: number | null = null
  #counted = 0

  constructor(db: Database, tokens: readonly Token[]) {
    this.#db = db
    this.#words = new Set(tokens.flatMap(token => (token.kind === 'word' ? [token.word] : [])))
    this.#commas = tokens.filter(token => token.kind === 'sign' && token.sign === ',').length
  }

  /**
   * @param params as they will be bound
   * @param alone one look at each row of one table is free: a table may be as large as it is
   * @throws what preparing it throws
   */
  of(sql: string, params: readonly unknown[], alone: boolean): number {
    const lines = this.#db.prepare<unknown[], Line>(`EXPLAIN QUERY PLAN ${sql}`).all(...params)
    const triggers = this.#fired(sql, params)
    const loops = lines.filter(({ detail }) => SCANNED.test(detail) && !FRAME.test(detail))
    if (loops.length + triggers.loops < (alone ? 2 : 1) && triggers.calls === 1) return 0
    const rows = this.#level(lines, FIRST)
    const steps = rows * this.#table() ** triggers.loops * triggers.calls
    return alone ? steps : steps + this.#counted
  }

  /** Siblings are loops inside one another, but for what is done once. */
  #level(lines: readonly Line[], parent: number): number {
    let [nested, once] = [1, 0]
    for (const line of lines) {
      if (line.parent !== parent || line.id === parent) continue
      const rows = this.#line(lines, line)
      if (ONCE.test(line.detail)) once += rows
      else nested *= rows
    }
    return nested + once
  }

  #line(lines: readonly Line[], { id, detail }: Line): number {
    const rows = PARTS.test(detail) ? this.#parts(lines, id) : this.#level(lines, id)
    if (KEPT.test(detail)) this.#largest = Math.max(this.#table(), rows)
    const isLoop = ![ONCE, PARTS, FRAME].some(kind => kind.test(detail))
    return isLoop ? rows * this.#loop(detail) : rows
  }

  #parts(lines: readonly Line[], parent: number): number {
    const parts = lines.filter(line => line.parent === parent)
    return parts.reduce((sum, part) => sum + this.#line(lines, part), 0)
  }

  /** How often one loop goes round; one that is not known as much as any. */
  #loop(detail: string): number {
    const given = GIVEN.exec(detail)?.[1]
    if (given !== undefined) return Number(given)
    if (detail.includes(' VIRTUAL TABLE ')) return Math.max(VIRTUAL_ROWS, this.#table())
    // An IN looks one up for each of its list; a list that is a query has a line of its own.
    if (BY_ROWID.test(detail) || this.#isUnique(detail)) {
      return this.#words.has('in') ? this.#commas + 1 : 1
    }
    return this.#table()
  }

  /** Whether it finds one row at most: all columns of a unique index are given, and none of them as NULL. */
  #isUnique(detail: string): boolean {
    const [, name, terms = ''] = BY_INDEX.exec(detail) ?? []
    if (name === undefined || this.#words.has('is') || this.#words.has('isnull')) return false
    const given = terms.split(' AND ')
    if (!given.every(term => term.endsWith('=?'))) return false
    const columns = this.#db
      .prepare(
        `SELECT count(*) FROM sqlite_schema s, pragma_index_list(s.tbl_name) l, pragma_index_info(s.name)
         WHERE s.type = 'index' AND s.name = ? AND l.name = s.name AND l."unique"`,
      )
      .pluck()
      .get(name)
    return columns === given.length
  }

  /** Of the largest table of clients'. Counting is work too. */
  #table(): number {
    if (this.#largest !== null) return this.#largest
    const names = this.#db
      .prepare<[], string>(
        `SELECT name FROM sqlite_schema
         WHERE type = 'table' AND name NOT GLOB '_raft*' AND name NOT GLOB '_sessions*' ORDER BY name`,
      )
      .pluck()
      .all()
    const counts = names.map(name => {
      const quoted = `"${name.replaceAll('"', '""')}"`
      return Number(this.#db.prepare(`SELECT count(*) FROM ${quoted}`).pluck().get())
    })
    this.#counted = counts.reduce((sum, count) => sum + count, 0)
    this.#largest = Math.max(2, this.#commas, ...counts)
    return this.#largest
  }

  /**
   * Triggers have no line in the plan, but each is a part of the program: how many loops stand inside one
   * another in all of them, and how often they call one another.
   */
  #fired(sql: string, params: readonly unknown[]): { loops: number; calls: number } {
    const any = this.#db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' LIMIT 1")
    if (any.get() === undefined) return { loops: 0, calls: 1 }
    const steps = this.#db.prepare<unknown[], Step>(`EXPLAIN ${sql}`).all(...params)
    const [main = [], ...triggers] = programs(steps)
    const fired = { loops: 0, calls: callsOf(main) }
    for (const trigger of triggers) {
      fired.loops += depthOf(trigger)
      fired.calls *= callsOf(trigger)
    }
    return fired
  }
}

/** The statement's own program, and that of each trigger it may fire. */
function programs(steps: readonly Step[]): readonly (readonly Step[])[] {
  const all: Step[][] = []
  for (const step of steps) {
    if (step.addr === FIRST) all.push([])
    all.at(-1)?.push(step)
  }
  return all
}

function callsOf(program: readonly Step[]): number {
  return Math.max(1, program.filter(({ opcode }) => opcode === 'Program').length)
}

/** Of loops inside one another; all of them, where a part of the program is called from elsewhere in it. */
function depthOf(program: readonly Step[]): number {
  const loops = program.filter(({ opcode }) => /^(?:Next|Prev|VNext|SorterNext)$/.test(opcode))
  if (program.some(({ opcode }) => /^(?:Gosub|Yield)$/.test(opcode))) return loops.length
  const around = (at: number) => loops.filter(loop => loop.p2 <= at && at <= loop.addr).length
  return Math.max(0, ...loops.map(({ p2 }) => around(p2)))
}
