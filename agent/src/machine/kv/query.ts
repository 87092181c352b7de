import type { LogPosition } from '../../raft/types.ts'
import type { KvOutcome } from './answer.ts'
import type { Lifetime } from './expiry.ts'
import type { Operation } from './operation.ts'
import type { KvRow, ListedRow } from './row.ts'
import type { Session } from './session.ts'

/** What a reader looks at: one key, or all that begin with a prefix. */
export interface Scope {
  readonly kind: 'key' | 'prefix'
  readonly bytes: Uint8Array
}

export type KvQuery =
  | { readonly kind: 'get'; readonly key: Uint8Array }
  | { readonly kind: 'rows'; readonly scope: Scope }
  /** Names only, each cut after the first `separator` behind the prefix; '' cuts nothing. */
  | { readonly kind: 'keys'; readonly prefix: Uint8Array; readonly separator: Uint8Array }
  /** A transaction that only reads. */
  | { readonly kind: 'transaction'; readonly operations: readonly Operation[] }
  /** null: all of them */
  | { readonly kind: 'sessions'; readonly id: string | null }
  | { readonly kind: 'lifetimes' }
  /** The next rows in order of their keys, behind `after` (null: from the first that a client may name), of about so many bytes. */
  | { readonly kind: 'page'; readonly after: Uint8Array | null; readonly bytesMax: number }

/** What a query of this kind is answered with. */
export type AnswerTo<Query extends KvQuery> = Extract<KvAnswer, { kind: Query['kind'] }>

export type KvAnswer =
  | RowAnswer
  | (Shown & {
      readonly kind: 'rows'
      readonly index: number
      /** Null: they are too large for one answer. */
      readonly rows: readonly ListedRow[] | null
    })
  | (Shown & {
      readonly kind: 'keys'
      readonly index: number
      /** Null: they are too many for one answer. */
      readonly keys: readonly Uint8Array[] | null
    })
  | (Shown & { readonly kind: 'transaction'; readonly outcome: KvOutcome })
  | (Shown & {
      readonly kind: 'sessions'
      readonly index: number
      readonly sessions: readonly Session[]
    })
  | (Shown & { readonly kind: 'lifetimes'; readonly lifetimes: readonly Lifetime[] })
  /** None: there are no more. */
  | (Shown & { readonly kind: 'page'; readonly rows: readonly ListedRow[] })

interface Shown {
  /** The applied position that the answer shows. */
  readonly applied: LogPosition
}

/** What one key holds, and as of which entry. */
interface RowAnswer extends Shown {
  readonly kind: 'get'
  /** Null when there is no such key. */
  readonly row: KvRow | null
}
