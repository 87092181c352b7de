import type { Database } from 'better-sqlite3'
import type { Spread } from './spread.ts'
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

/** What a window's rows cannot be taken out of one by one, or only by copying the others. */
const NESTING = /^(?:exclude|group_concat|string_agg|jsonb?_group_(?:array|object))$/

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
  /** what one list of values may have */
  readonly #values: number
  /** what one IN, or OR, looks up at most */
  readonly #list: number
  readonly #asksForNull: boolean
  /** each row of a window may go through all the others */
  readonly #windowsNest: boolean
  /** rows of the largest table, or part of the plan: which one an alias means, a plan does not tell. Null: not counted yet */
  #largest: number | null = null
  #counted = 0

  constructor(db: Database, { texts, triggers }: Pick<Spread, 'texts' | 'triggers'>) {
    this.#db = db
    this.#values = Math.max(...[...texts, ...triggers].map(text => valuesOf(text)))
    this.#list = Math.max(...texts.map(text => listOf(text)))
    this.#asksForNull = texts.some(text => count(text, 'is') + count(text, 'isnull') > 0)
    this.#windowsNest = texts.some(
      text =>
        count(text, 'over') > 0 &&
        text.some(token => token.kind === 'word' && NESTING.test(token.word)),
    )
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
    const fires = triggers.rows > 1 || triggers.calls > 1
    if (loops.length < (alone ? 2 : 1) && !fires) return 0
    const rows = this.#level(childrenOf(lines), FIRST)
    const steps = rows * triggers.rows * triggers.calls
    return alone ? steps : steps + this.#counted
  }

  /** Siblings are loops inside one another, but for what is done once. */
  #level(children: Children, parent: number): number {
    let [nested, once] = [1, 0]
    for (const line of children.get(parent) ?? []) {
      const rows = this.#line(children, line)
      if (this.#isOnce(line)) once += rows
      else nested *= rows
    }
    return nested + once
  }

  #isOnce({ detail }: Line): boolean {
    return ONCE.test(detail) && !(this.#windowsNest && detail.startsWith('CO-ROUTINE'))
  }

  #line(children: Children, { id, detail }: Line): number {
    const rows = PARTS.test(detail) ? this.#parts(children, id) : this.#level(children, id)
    if (KEPT.test(detail)) this.#largest = Math.max(this.#table(), rows)
    const isLoop = ![ONCE, PARTS, FRAME].some(kind => kind.test(detail))
    return isLoop ? rows * this.#loop(detail) : rows
  }

  #parts(children: Children, parent: number): number {
    const parts = children.get(parent) ?? []
    return parts.reduce((sum, part) => sum + this.#line(children, part), 0)
  }

  /** How often one loop goes round; one that is not known as much as any. */
  #loop(detail: string): number {
    const given = GIVEN.exec(detail)?.[1]
    if (given !== undefined) return Number(given)
    if (detail.includes(' VIRTUAL TABLE ')) return this.#virtual()
    // An IN looks one up for each of its list; a list that is a query has a line of its own.
    if (BY_ROWID.test(detail) || this.#isUnique(detail)) return this.#list
    return this.#table()
  }

  /** Whether it finds one row at most: all columns of a unique index are given, and none of them as NULL. */
  #isUnique(detail: string): boolean {
    const [, name, terms = ''] = BY_INDEX.exec(detail) ?? []
    if (name === undefined || this.#asksForNull) return false
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
    this.#largest = Math.max(2, this.#values, ...counts)
    return this.#largest
  }

  #virtual(): number {
    return Math.max(VIRTUAL_ROWS, this.#table())
  }

  /**
   * Triggers, and what foreign keys have done to other rows, have no line in the plan, but each is a part of the program:
   * what the loops that stand inside one another in all of them come to, and how often they call one another.
   */
  #fired(sql: string, params: readonly unknown[]): { rows: number; calls: number } {
    const any = this.#db
      .prepare<[], string>(
        `SELECT max(type) FROM sqlite_schema
         WHERE type = 'trigger' OR type = 'table' AND sql LIKE '%references%'`,
      )
      .pluck()
      .get()
    if (typeof any !== 'string') return { rows: 1, calls: 1 }
    const steps = this.#db.prepare<unknown[], Step>(`EXPLAIN ${sql}`).all(...params)
    const [main = [], ...fired] = programs(steps)
    if (any === 'table') return { rows: this.#cascaded(fired), calls: 1 }
    return {
      rows: fired.reduce((rows, program) => rows * this.#nested(program), 1),
      calls: [main, ...fired].reduce((calls, program) => calls * callsOf(program), 1),
    }
  }

  /** One table inside another for each that no index helps with; of the first of them the plan has a line. */
  #cascaded(actions: readonly (readonly Step[])[]): number {
    const whole = actions.filter(steps => steps.some(({ opcode }) => opcode === 'Rewind'))
    return whole.length > 1 ? this.#table() ** (whole.length - 1) : 1
  }

  /** Loops inside one another; all of them, where a part of the program is called from elsewhere in it. */
  #nested(program: readonly Step[]): number {
    const loops = program.filter(({ opcode }) => /^(?:Next|Prev|VNext|SorterNext)$/.test(opcode))
    const product = (all: readonly Step[]): number =>
      all.reduce(
        (rows, step) => rows * (step.opcode === 'VNext' ? this.#virtual() : this.#table()),
        1,
      )
    if (program.some(({ opcode }) => /^(?:Gosub|Yield)$/.test(opcode))) return product(loops)
    const around = (at: number) => product(loops.filter(loop => loop.p2 <= at && at <= loop.addr))
    return Math.max(1, ...loops.map(({ p2 }) => around(p2)))
  }
}

type Children = ReadonlyMap<number, readonly Line[]>

function childrenOf(lines: readonly Line[]): Children {
  const children = new Map<number, Line[]>()
  for (const line of lines) {
    if (line.parent === line.id) continue
    const siblings = children.get(line.parent)
    if (siblings === undefined) children.set(line.parent, [line])
    else siblings.push(line)
  }
  return children
}

function count(text: readonly Token[], word: string): number {
  return text.filter(token => token.kind === 'word' && token.word === word).length
}

function valuesOf(text: readonly Token[]): number {
  return text.filter(token => token.kind === 'sign' && token.sign === ',').length
}

/** SQLite makes an IN of many an OR. */
function listOf(text: readonly Token[]): number {
  return (count(text, 'in') > 0 ? valuesOf(text) : 0) + count(text, 'or') + 1
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
