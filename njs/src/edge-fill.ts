/** How nginx's memory is filled. What is taken is in batch.ts. */

import { type Batch, takeBatch } from './batch.ts'
import { readWatermark, WATERMARK } from './dict.ts'
import { clearUpTo, note } from './pending.ts'
import { pending, store } from './zones.ts'

const INDEX = /^[0-9]{1,15}$/

/** `POST /apply` from this node's agent, on a socket that nobody else reaches. */
function apply(r: NginxHTTPRequest): void {
  let batch: Batch
  try {
    batch = JSON.parse(r.requestText as string) as Batch
  } catch {
    r.return(400, '{"error":"not a batch"}\n')
    return
  }
  const verdict = takeBatch(store(), batch, () => Date.now())
  if (verdict.status === 200 && (batch.kind === 'delta' || batch.kind === 'last')) {
    clearUpTo(pending(), verdict.index)
  }
  r.return(verdict.status, `${JSON.stringify(verdict)}\n`)
}

/**
 * Header filter of every forwarded write: before its answer leaves, readers here are told which entry they have to see.
 */
function wrote(r: NginxHTTPRequest): void {
  if (r.status < 200 || r.status > 299) return
  const index = r.headersOut['X-Raft-Index']
  if (typeof index !== 'string' || !INDEX.test(index)) return
  const mark = readWatermark(store().get(WATERMARK))
  const seen = mark?.whole && mark.index === mark.next && mark.index >= Number(index)
  if (seen) return
  try {
    note(pending(), Number(index))
  } catch {
    // No room to remember it: then nothing is served from here until the agent has copied all of it again.
    store().delete(WATERMARK)
  }
}

export default { apply, wrote }
