import { indexOf, isReady, WATERMARK } from './dict.ts'
import { note } from './pending.ts'
import { pending, store } from './zones.ts'

const INDEX = /^[0-9]{1,15}$/

/**
 * Header filter of every forwarded write: before its answer leaves, readers here are told which entry they have to see.
 */
export function wrote(r: NginxHTTPRequest): void {
  if (r.status < 200 || r.status > 299) return
  const text = r.headersOut['X-Raft-Index']
  if (typeof text !== 'string' || !INDEX.test(text)) return
  const index = Number(text)
  const mark = store().get(WATERMARK)
  if (isReady(mark) && indexOf(mark) >= index) return
  try {
    note(pending(), index)
  } catch {
    // No room to remember it: then nothing is served from here until the agent has copied all of it again.
    store().delete(WATERMARK)
  }
}
