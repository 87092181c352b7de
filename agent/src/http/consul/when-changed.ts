import { randomInt } from 'node:crypto'
import type { Interest } from '../../machine/kv/change.ts'
import type { Api } from '../exchange.ts'
import type { Incoming } from '../fast/whole-request.ts'
import type { ReadOptions } from './read-options.ts'

interface Waiting {
  readonly interest: Interest
  readonly block: ReadOptions['block']
  /** Nobody waits on behalf of a client that has left. */
  readonly incoming: Incoming
}

/** Consul spreads the ends of waits that began together over this part of them. */
const JITTER_PART = 16

/**
 * The answer of a blocking query: at once if its index is above the known one, else after a change or
 * the wait.
 * @returns null when too many wait already
 */
export async function whenChanged<Answer extends { readonly index: number }>(
  api: Api,
  { interest, block, incoming }: Waiting,
  read: () => Promise<Answer>,
): Promise<Answer | null> {
  if (block === null) return read()
  if (api.feed.listening >= api.limits.followersMax) return null
  const jitterMs = randomInt(0, Math.max(1, Math.floor(block.waitMs / JITTER_PART)))
  const deadline = performance.now() + block.waitMs + jitterMs
  for (;;) {
    // Listens before it looks: a change between the two is not missed.
    const wake = listen(api, interest, incoming)
    try {
      const answer = await read()
      if (answer.index > block.index || incoming.socket.destroyed || api.closing.aborted)
        return answer
      if (!(await wake.within(deadline - performance.now()))) return answer
    } finally {
      wake.stop()
    }
  }
}

interface Wake {
  /** True once something changed; false when `ms` are over, the client has left or the server ends. */
  within(ms: number): Promise<boolean>
  stop(): void
}

function listen(api: Api, interest: Interest, incoming: Incoming): Wake {
  const { socket } = incoming
  let settle = (_changed: boolean): void => {}
  const changed = new Promise<boolean>(resolve => {
    settle = resolve
  })
  const leave = (): void => settle(false)
  const stopListening = api.feed.listen(interest, () => settle(true))
  api.closing.addEventListener('abort', leave)
  socket.once('close', leave)
  let timer: NodeJS.Timeout | null = null
  return {
    within(ms) {
      timer = setTimeout(leave, Math.max(0, ms))
      return changed
    },
    stop() {
      if (timer !== null) clearTimeout(timer)
      stopListening()
      api.closing.removeEventListener('abort', leave)
      socket.off('close', leave)
    },
  }
}
