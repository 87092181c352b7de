/** Clients of Consul spell the names in a body as they like: they are told apart without regard to case. */

/** What an object has, names in lower case, of two spellings the last; empty for what is no object. */
export function members(value: unknown): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map()
  return new Map(Object.entries(value).map(([name, one]) => [name.toLowerCase(), one]))
}

/** What an object has of these names, in the spelling given here. */
export function named(value: unknown, names: readonly string[]): object {
  const found = members(value)
  return Object.fromEntries(
    names.flatMap(name => {
      const lower = name.toLowerCase()
      return found.has(lower) ? [[name, found.get(lower)]] : []
    }),
  )
}

/** JSON can name half a character by an escape, which no bytes of UTF-8 are. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
