/** What a token may do with keys. Pure; the longest prefix decides, and of two that are equal the one that denies. */

/** `write` may read as well. */
export const ACCESS = ['deny', 'read', 'write'] as const
export type Access = (typeof ACCESS)[number]

export interface Rule {
  /** of keys, as UTF-8; empty: all of them */
  readonly prefix: string
  readonly access: Access
}

interface Compiled {
  readonly prefix: Buffer
  readonly access: Access
}

/** The rules of one token, ready to be asked. What no rule speaks of is denied. */
export class Rules {
  /** the longest first; of each prefix one */
  readonly #rules: readonly Compiled[]

  constructor(rules: readonly Rule[]) {
    const byPrefix = new Map<string, Access>()
    for (const { prefix, access } of rules) {
      const other = byPrefix.get(prefix)
      byPrefix.set(prefix, other === undefined ? access : lesser(other, access))
    }
    const compiled = [...byPrefix].map(([prefix, access]) => ({
      prefix: Buffer.from(prefix),
      access,
    }))
    this.#rules = compiled.sort((one, other) => other.prefix.length - one.prefix.length)
  }

  /** The longest first; of each prefix one. */
  get list(): readonly Rule[] {
    return this.#rules.map(({ prefix, access }) => ({ prefix: prefix.toString(), access }))
  }

  mayRead(key: Uint8Array): boolean {
    return this.#of(key) !== 'deny'
  }

  mayWrite(key: Uint8Array): boolean {
    return this.#of(key) === 'write'
  }

  /** Whether every key that begins with `prefix`, there or not, may be read. */
  mayReadAll(prefix: Uint8Array): boolean {
    return this.mayRead(prefix) && this.#below(prefix).every(access => access !== 'deny')
  }

  /** The same of writing: one key less, and a delete of the whole prefix would take it along. */
  mayWriteAll(prefix: Uint8Array): boolean {
    return this.mayWrite(prefix) && this.#below(prefix).every(access => access === 'write')
  }

  /** Whether any key that begins with `prefix` may be read. */
  mayReadSome(prefix: Uint8Array): boolean {
    return this.mayRead(prefix) || this.#below(prefix).some(access => access !== 'deny')
  }

  /** Whether there is any key at all that may be written. */
  get writesSomething(): boolean {
    return this.#rules.some(({ access }) => access === 'write')
  }

  #of(key: Uint8Array): Access {
    for (const { prefix, access } of this.#rules) if (begins(key, prefix)) return access
    return 'deny'
  }

  /** Of the rules that speak of a part of `prefix` only. */
  #below(prefix: Uint8Array): readonly Access[] {
    return this.#rules
      .filter(rule => rule.prefix.length > prefix.length && begins(rule.prefix, prefix))
      .map(({ access }) => access)
  }
}

function lesser(one: Access, other: Access): Access {
  return ACCESS.indexOf(one) < ACCESS.indexOf(other) ? one : other
}

function begins(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.length < prefix.length) return false
  for (let at = 0; at < prefix.length; at++) if (key[at] !== prefix[at]) return false
  return true
}
