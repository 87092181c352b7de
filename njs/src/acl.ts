/** Whether nginx may answer a read by itself, where clients have tokens. Pure; only the agent knows tokens. */

/**
 * What a client without a token may read, as prefixes of spellings, each with whether it may: the longest decides. Null:
 * nobody needs a token.
 */
export type Open = readonly (readonly [string, boolean])[] | null

/** @param token whether the client sent one: whether it is good only the agent can tell */
export function mayAnswer(open: Open, spelling: string, token: boolean): boolean {
  if (open === null) return true
  if (token) return false
  let longest = -1
  let may = false
  for (let at = 0; at < open.length; at++) {
    const rule = open[at] as readonly [string, boolean]
    const prefix = rule[0]
    if (prefix.length <= longest || spelling.indexOf(prefix) !== 0) continue
    longest = prefix.length
    may = rule[1]
  }
  return may
}

interface Headers {
  readonly 'X-Consul-Token'?: string | undefined
  readonly Authorization?: string | undefined
}

/** Any `Authorization` counts: which of them are ours is the agent's to say. */
export function sendsToken(headers: Headers): boolean {
  return headers['X-Consul-Token'] !== undefined || headers.Authorization !== undefined
}
