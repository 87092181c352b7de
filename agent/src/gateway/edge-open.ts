/** What nginx may show of its memory to clients without a token; njs/src/acl.ts reads it. */

import { Acl, type AclSource } from '../acl/acl.ts'
import { spellingOf } from './edge-rows.ts'

/** Prefixes of spellings, and whether keys that begin so may be shown: the longest decides. Null: all of them. */
export type Open = readonly (readonly [string, boolean])[] | null

/** It stands in the watermark, which nginx looks at with every read. */
const BYTES_MAX = 4096

/** Nothing. */
export const SHUT: Open = []

/** What may be shown, and which version of the rules says so. */
export interface Opening {
  readonly version: number
  readonly open: Open
}

/** As of what this node has applied. Where that is too much to tell, or cannot be known, the agent is asked of everything. */
export function openTo(source: AclSource): () => Opening {
  const acl = new Acl(source)
  return () => ({ version: source.version(), open: openIn(acl) })
}

function openIn(acl: Acl): Open {
  try {
    if (!acl.enabled) return null
    const open = acl.anonymousRules.map(
      ({ prefix, access }) => [spellingOf(Buffer.from(prefix)), access !== 'deny'] as const,
    )
    return JSON.stringify(open).length > BYTES_MAX ? SHUT : open
  } catch {
    return SHUT
  }
}
