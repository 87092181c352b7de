import type { Scope } from '../machine/kv/query.ts'
import { cameThroughGateway } from './door.ts'
import type { Incoming } from './fast/whole-request.ts'
import { type Refusal, refuse } from './refusal.ts'

/** What of the API this needs. */
interface Reserving {
  /** What keys begin with that become nginx's configuration: clients neither read nor write them. Null: none. */
  readonly reserved: Uint8Array | null
}

/**
 * Refuses what touches reserved keys to whoever came through a gateway; a prefix above theirs touches them too. Whoever
 * may write them has the rights of nginx's master process, and private keys are among them.
 */
export function checkReserved(
  { reserved }: Reserving,
  incoming: Incoming,
  scopes: Iterable<Scope>,
): Refusal | null {
  if (reserved === null || !cameThroughGateway(incoming)) return null
  for (const scope of scopes) {
    if (!touches(scope, reserved)) continue
    const name = Buffer.from(reserved).toString()
    const detail = `keys below ${name} are nginx's configuration: only operators read and write them, on an agent's own port`
    return refuse(403, 'RESERVED', detail)
  }
  return null
}

function touches({ kind, bytes }: Scope, reserved: Uint8Array): boolean {
  if (beginsWith(bytes, reserved)) return true
  return kind === 'prefix' && beginsWith(reserved, bytes)
}

function beginsWith(bytes: Uint8Array, beginning: Uint8Array): boolean {
  if (bytes.length < beginning.length) return false
  return Buffer.compare(bytes.subarray(0, beginning.length), beginning) === 0
}
