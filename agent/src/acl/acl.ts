import { ACL_PREFIX } from '../machine/kv/reserved.ts'
import type { ListedRow } from '../machine/kv/row.ts'
import { type Rule, Rules } from './rules.ts'
import { ANONYMOUS, decodeSwitch, decodeToken, type Role, type StoredToken } from './token.ts'

/** Where the switch is kept, and what the keys of tokens begin with. */
export const SWITCH_KEY: Uint8Array = Buffer.concat([ACL_PREFIX, Buffer.from('switch')])
const TOKEN_PREFIX = Buffer.concat([ACL_PREFIX, Buffer.from('token/')])

/** An agent's own clock may be ahead by so much before a token counts as expired by it, ms. */
const LEEWAY_MS = 30_000

/** What this node has applied. */
export interface AclSource {
  /** Another number whenever `rows` may have changed. */
  version(): number
  /** All below `ACL_PREFIX`. @throws while they cannot be read */
  rows(): readonly ListedRow[]
  /** The log's time, Unix ms. */
  timeMs(): number
  /** Of this machine, Unix ms. */
  wallMs(): number
  /** Whoever owns the files of this node has asked for another first token; `end` makes it the last time. */
  readonly reset: { wanted(): boolean; end(): void }
}

export interface Token extends StoredToken {
  readonly accessor: string
  readonly createIndex: number
  readonly modifyIndex: number
}

/** What somebody may do now. */
export interface Rights {
  readonly role: Role
  /** null: tokens do not count, or none was sent */
  readonly accessor: string | null
  /** everything */
  readonly all: boolean
  readonly rules: Rules
}

interface State {
  readonly enabled: boolean
  /** false: it was never switched on */
  readonly bootstrapped: boolean
  readonly tokens: readonly Token[]
  readonly byHash: ReadonlyMap<string, Rights & { readonly expiresAt: number | null }>
  readonly anonymous: Rights
}

const NO_RULES = new Rules([])
const EVERYTHING: Rights = { role: 'admin', accessor: null, all: true, rules: NO_RULES }

/** No tokens, and none needed: of a machine that keeps none. */
export const NO_ACL: AclSource = {
  version: () => 0,
  rows: () => [],
  timeMs: () => 0,
  wallMs: () => 0,
  reset: { wanted: () => false, end: () => undefined },
}

/**
 * The tokens as this node has applied them, read anew whenever they may have changed: a token that was taken back is
 * good for nothing here from the moment its end was applied here.
 */
export class Acl {
  readonly #source: AclSource
  #version: number | null = null
  #state: State = stateOf([])

  constructor(source: AclSource) {
    this.#source = source
  }

  /** Whether tokens count. @throws while that cannot be known */
  get enabled(): boolean {
    return this.#now().enabled
  }

  /** Whether they ever counted. @throws as `enabled` */
  get bootstrapped(): boolean {
    return this.#now().bootstrapped
  }

  /** What anybody may do: of each prefix one rule. @throws as `enabled` */
  get anonymousRules(): readonly Rule[] {
    return this.#now().anonymous.rules.list
  }

  /** Without order. @throws as `enabled` */
  get tokens(): readonly Token[] {
    return this.#now().tokens
  }

  /**
   * Of who sends a secret with this hash. It is looked up by the hash, whose bytes nobody can choose: how long that takes
   * tells nothing of a secret.
   * @param hash null: none was sent
   * @throws as `enabled`
   */
  rightsOf(hash: string | null): Rights | 'unknown' | 'expired' {
    const { enabled, byHash, anonymous } = this.#now()
    if (!enabled) return EVERYTHING
    if (hash === null) return anonymous
    const found = byHash.get(hash)
    if (found === undefined) return 'unknown'
    return this.hasExpired(found) ? 'expired' : found
  }

  /** By the log's time, which no single clock sets back; or, where nothing is written, by this machine's. */
  hasExpired({ expiresAt }: Pick<Token, 'expiresAt'>): boolean {
    const { timeMs, wallMs } = this.#source
    return expiresAt !== null && Math.max(timeMs(), wallMs() - LEEWAY_MS) >= expiresAt
  }

  /** Whether a first token may be given out again. */
  get mayReset(): boolean {
    return this.#source.reset.wanted()
  }

  wasReset(): void {
    this.#source.reset.end()
  }

  /** From when on the lifetime of a new token counts, Unix ms. */
  get nowMs(): number {
    return Math.max(this.#source.timeMs(), this.#source.wallMs())
  }

  #now(): State {
    const version = this.#source.version()
    if (version !== this.#version) {
      this.#state = stateOf(this.#source.rows())
      this.#version = version
    }
    return this.#state
  }
}

export function tokenKey(accessor: string): Uint8Array {
  return Buffer.concat([TOKEN_PREFIX, Buffer.from(accessor)])
}

function stateOf(rows: readonly ListedRow[]): State {
  const theSwitch = rows.find(({ key }) => Buffer.compare(key, SWITCH_KEY) === 0)
  const tokens = rows.flatMap(tokenIn)
  const byHash = new Map(
    tokens
      .filter(({ hash }) => hash !== '')
      .map(token => [token.hash, { ...rightsIn(token), expiresAt: token.expiresAt }]),
  )
  const anonymous = tokens.find(({ accessor }) => accessor === ANONYMOUS)
  const rules = new Rules(anonymous?.rules ?? [])
  return {
    enabled: theSwitch !== undefined && decodeSwitch(theSwitch.value),
    bootstrapped: theSwitch !== undefined,
    tokens,
    byHash,
    anonymous: { role: 'client', accessor: null, all: false, rules },
  }
}

function tokenIn({ key, value, createIndex, modifyIndex }: ListedRow): Token[] {
  if (Buffer.compare(key.subarray(0, TOKEN_PREFIX.length), TOKEN_PREFIX) !== 0) return []
  const accessor = Buffer.from(key.subarray(TOKEN_PREFIX.length)).toString('utf8')
  const token = decodeToken(value)
  return token === null ? [] : [{ ...token, accessor, createIndex, modifyIndex }]
}

function rightsIn({ role, accessor, rules }: Token): Rights {
  return { role, accessor, all: role === 'admin', rules: new Rules(rules) }
}
