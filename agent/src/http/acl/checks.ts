import { createHash } from 'node:crypto'
import type { Rights } from '../../acl/acl.ts'
import { ANONYMOUS } from '../../acl/token.ts'
import { isWrite, type Operation } from '../../machine/kv/operation.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import { type Caller, denied } from './caller.ts'

/** Of somebody who asks. */
type By = { readonly caller: Caller }

const TREES: ReadonlySet<string> = new Set(['get-tree', 'delete-tree'])

export function checkRead({ caller }: By, key: Uint8Array): Refusal | null {
  return check(caller, ({ rules }) => rules.mayRead(key))
}

/** Every key that begins with it, there or not: for whom a filtered answer would be a wrong one. */
export function checkReadAll({ caller }: By, prefix: Uint8Array): Refusal | null {
  return check(caller, ({ rules }) => rules.mayReadAll(prefix))
}

/** All of them, or none is written. */
export function checkWrite({ caller }: By, keys: readonly Uint8Array[]): Refusal | null {
  return check(caller, ({ rules }) => keys.every(key => rules.mayWrite(key)))
}

/** What only filters its answer has to have something to show: any key of these that may be read. */
export function checkReadSome({ caller }: By, prefix: Uint8Array): Refusal | null {
  return check(caller, ({ rules }) => rules.mayReadSome(prefix))
}

/** Each step by itself; one that may not be refuses all. Rows of `get-tree` are filtered, as in Consul. */
export function checkSteps({ caller }: By, steps: readonly Operation[]): Refusal | null {
  return check(caller, ({ rules }) =>
    steps.every(step => {
      const { verb, key } = step
      if (verb === 'delete-tree') return rules.mayWriteAll(key)
      if (TREES.has(verb)) return rules.mayReadSome(key)
      return isWrite(step) ? rules.mayWrite(key) : rules.mayRead(key)
    }),
  )
}

/** Sessions are for locks, and a lock is a write. */
export function checkSession({ caller }: By): Refusal | null {
  return check(caller, ({ rules }) => rules.writesSomething)
}

/** Only whoever made it may renew or end a session: its end lets go of locks, and may delete keys. */
export function checkOwner({ caller }: By, id: string): Refusal | null {
  return check(caller, rights => ownerTag(rights) !== null && id.startsWith(`${ownerTag(rights)}-`))
}

/** Which sessions are listed. */
export function isOwn({ caller }: By): (id: string) => boolean {
  const rights = caller.rights()
  if (isRefusal(rights)) return () => false
  const tag = ownerTag(rights)
  return id => rights.all || (tag !== null && id.startsWith(`${tag}-`))
}

/** A session's id begins with this. Null: tokens do not count. */
export function tagFor({ caller }: By): string | null {
  const rights = caller.rights()
  return isRefusal(rights) ? null : ownerTag(rights)
}

/** Which keys may be shown; null: all. */
export function readableTo({ caller }: By): ((key: Uint8Array) => boolean) | null {
  const rights = caller.rights()
  if (isRefusal(rights)) return () => false
  return rights.all ? null : key => rights.rules.mayRead(key)
}

/** Whose requests these are, so that an Idempotency-Key is no other's. */
export function authorOf({ caller }: By): string | null {
  const rights = caller.rights()
  return isRefusal(rights) ? null : rights.accessor
}

function ownerTag({ accessor, all }: Rights): string | null {
  if (all && accessor === null) return null
  return createHash('sha256')
    .update(`session of ${accessor ?? ANONYMOUS}`)
    .digest('hex')
    .slice(0, 8)
}

function check(caller: Caller, may: (rights: Rights) => boolean): Refusal | null {
  const rights = caller.rights()
  if (isRefusal(rights)) return rights
  return rights.all || may(rights) ? null : denied(rights)
}
