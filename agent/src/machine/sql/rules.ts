import { type Token, tokensOf } from './tokens.ts'

/** Why a statement is not run: a stable code, and words for whoever wrote it. */
export interface Objection {
  readonly code: string
  readonly detail: string
}

const WRITES: ReadonlySet<string> = new Set([
  ...['select', 'values', 'with', 'insert', 'replace', 'update', 'delete'],
  ...['create', 'drop', 'alter'],
])
const READS: ReadonlySet<string> = new Set(['select', 'values', 'with', 'explain'])

/** Whatever answers out of one node's files, process or connection, and not out of the data. */
const OF_ONE_NODE = /^(?:sqlite_|pragma_|dbstat$|bytecode$|tables_used$|load_extension$)/
/** What a query may ask of them: the schema. */
const SCHEMA =
  /^(?:sqlite_(?:schema|master|version)|pragma_(?:table_(?:x?info|list)|index_(?:x?info|list)|foreign_key_list))$/
/** The machine's own tables and functions. */
const OWN = /^_(?:raft|sessions)/
/** What would be read as something else where it stands as a name in a plan: see `PlanCost`. */
const PLAN_LIKE = /constant row|-row values clause| using (?:integer|index|covering) |=\?/
const PLAN_NAME = 'no name reads like a part of a plan; what is no name comes as a parameter'

/**
 * The rules for one statement of a write, which every node runs: it must do the same on each, and leave
 * alone what is the machine's. Null: it may run. They are part of what replicas agree on: other rules
 * need another version of the command.
 */
export function objectionToWrite(sql: string): Objection | null {
  const tokens = readable(sql)
  if (!Array.isArray(tokens)) return tokens as Objection
  return (
    firstWordObjection(tokens, WRITES) ??
    firstObjection(tokens, objectionToWriteWord) ??
    (callsItself(tokens) ? objection('RECURSION', RECURSION) : null)
  )
}

/** The rules for a query, which one node runs for one client. */
export function objectionToRead(sql: string): Objection | null {
  const tokens = readable(sql)
  if (!Array.isArray(tokens)) return tokens as Objection
  return firstWordObjection(tokens, READS) ?? firstObjection(tokens, objectionToReadWord)
}

const RECURSION = 'a WITH that reads itself may never end, and every node would wait for it'

function readable(sql: string): readonly Token[] | Objection {
  if (sql.includes('\0')) return objection('BAD_SQL', 'SQL has no NUL')
  return tokensOf(sql) ?? objection('BAD_SQL', 'a quote has no end')
}

function firstWordObjection(
  tokens: readonly Token[],
  allowed: ReadonlySet<string>,
): Objection | null {
  const [first] = tokens
  if (first === undefined) return objection('BAD_SQL', 'there is no statement')
  const word = first.kind === 'word' && !first.quoted ? first.word : ''
  if (allowed.has(word)) return null
  const list = [...allowed].join(', ').toUpperCase()
  return objection('STATEMENT_NOT_ALLOWED', `a statement begins with one of ${list}`)
}

function firstObjection(
  tokens: readonly Token[],
  check: (token: Extract<Token, { kind: 'word' }>, before: Token | undefined) => Objection | null,
): Objection | null {
  for (const [at, token] of tokens.entries()) {
    const found = token.kind === 'word' ? check(token, tokens[at - 1]) : null
    if (found !== null) return found
  }
  return null
}

function objectionToWriteWord(
  { word, quoted }: Extract<Token, { kind: 'word' }>,
  before: Token | undefined,
): Objection | null {
  if (OWN.test(word)) return objection('RESERVED_NAME', 'names that begin with _raft or _sessions')
  if (OF_ONE_NODE.test(word)) {
    return objection('NON_DETERMINISTIC', `${word.slice(0, 32)} differs between nodes`)
  }
  if (word === 'temp' || word === 'temporary') {
    return objection('STATEMENT_NOT_ALLOWED', 'what is temporary is in no snapshot')
  }
  if (quoted) return PLAN_LIKE.test(word) ? objection('BAD_NAME', PLAN_NAME) : null
  if (word === 'rollback') {
    return objection('STATEMENT_NOT_ALLOWED', 'ROLLBACK would take back other commands: use ABORT')
  }
  if (word === 'deferred') {
    return objection('STATEMENT_NOT_ALLOWED', 'a constraint is checked with its statement')
  }
  const creates = before?.kind === 'word' && before.word === 'create'
  if (word === 'virtual' && creates) {
    return objection('STATEMENT_NOT_ALLOWED', 'virtual tables keep what no snapshot has')
  }
  return null
}

function objectionToReadWord({ word }: Extract<Token, { kind: 'word' }>): Objection | null {
  if (OWN.test(word)) return objection('RESERVED_NAME', 'names that begin with _raft or _sessions')
  if (!OF_ONE_NODE.test(word) || SCHEMA.test(word)) return null
  return objection('NOT_SHOWN', `${word.slice(0, 32)} is not shown`)
}

/** Whether some `name AS (…)` or `name(columns) AS (…)` reads its own name: WITH needs no RECURSIVE for that. */
function callsItself(tokens: readonly Token[]): boolean {
  return withParts(tokens).some(({ name, body }) => body.some(inner => isWord(inner, name)))
}

/** What may be a part of a WITH. */
export interface WithPart {
  readonly name: string
  /** what stands between its parentheses, with them */
  readonly body: readonly Token[]
  /** places of its name, and behind the body */
  readonly from: number
  readonly to: number
}

export function withParts(tokens: readonly Token[]): readonly WithPart[] {
  return tokens.flatMap((token, at) => {
    if (!isWord(token, 'as')) return []
    const from = nameBefore(tokens, at)
    const start = bodyAfter(tokens, at)
    const name = tokens[from]
    if (name?.kind !== 'word' || start === null) return []
    const body = tokens.slice(start, closing(tokens, start))
    return [{ name: name.word, body, from, to: start + body.length }]
  })
}

/** Where the name is that an AS is about: before it, or before a list of columns. */
function nameBefore(tokens: readonly Token[], at: number): number {
  let place = at - 1
  if (isSign(tokens[place], ')')) {
    while (place >= 0 && !isSign(tokens[place], '(')) place -= 1
    place -= 1
  }
  return place
}

/** Where the parenthesis behind `AS [NOT] [MATERIALIZED]` opens. */
function bodyAfter(tokens: readonly Token[], at: number): number | null {
  let place = at + 1
  while (isWord(tokens[place], 'not') || isWord(tokens[place], 'materialized')) place += 1
  return isSign(tokens[place], '(') ? place : null
}

/** Where the parenthesis that opens at `start` closes, or the end. */
function closing(tokens: readonly Token[], start: number): number {
  let depth = 0
  for (let at = start; at < tokens.length; at++) {
    if (isSign(tokens[at], '(')) depth += 1
    if (isSign(tokens[at], ')')) depth -= 1
    if (depth === 0) return at
  }
  return tokens.length
}

function isWord(token: Token | undefined, word: string): boolean {
  return token?.kind === 'word' && token.word === word
}

function isSign(token: Token | undefined, sign: string): boolean {
  return token?.kind === 'sign' && token.sign === sign
}

function objection(code: string, detail: string): Objection {
  return { code, detail }
}
