import type { SimulatedNode } from './node.ts'
import { must } from './violation.ts'

/** What a leader appends for itself, beside what it is asked for: its no-op, changes, a check. */
const OWN_ENTRIES = 4
const OWN_BYTES = 4096
/** Of one client's proposal at most; the first is taken whatever its size. */
const PROPOSAL_BYTES = 200

/** I15: whatever comes, what is kept for it stays within the limits. To be asked at ticks: it copies. */
export function checkBounds({ raft }: SimulatedNode): void {
  const { options, state, log } = raft.image()
  const { window, uncommittedEntriesMax, uncommittedBytesMax, readsMax, cacheBytesMax } = options
  const { role, reads } = state
  const readers = reads.waiting.length + (reads.round?.readers.length ?? 0)
  must(readers <= readsMax, 'Bounded: reads that wait')
  const settled = log.cached.filter(({ index }) => index <= state.applied && index <= log.durable)
  const bytes = settled.reduce((sum, { payload }) => sum + payload.length, 0)
  must(bytes <= 2 * cacheBytesMax + PROPOSAL_BYTES, 'Bounded: entries kept in memory')
  if (role.kind !== 'leader') return
  must(
    role.uncommitted.length <= uncommittedEntriesMax + OWN_ENTRIES,
    'Bounded: entries that are not committed',
  )
  must(
    role.uncommittedBytes <= uncommittedBytesMax + PROPOSAL_BYTES + OWN_BYTES,
    'Bounded: bytes that are not committed',
  )
  for (const [, { inFlight }] of role.progress) {
    must(inFlight.length <= window.messagesMax, 'Bounded: messages on their way to a peer')
  }
}
