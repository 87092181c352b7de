/** How nginx's memory is filled. What is taken is in batch.ts. */

import { type Batch, takeBatch } from './batch.ts'
import { clearUpTo } from './pending.ts'
import { wrote } from './wrote.ts'
import { pending, store } from './zones.ts'

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

// `wrote`: for configurations that were rendered when it was only here
export default { apply, wrote }
