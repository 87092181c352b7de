import type { Answer } from './ask.ts'
import type { Api, Exchange } from './exchange.ts'
import { raftHeaders } from './headers.ts'
import { problemReply, type Reply } from './reply.ts'

/** Marks what came to another agent first: it is not passed on again. */
const MARK = 'X-Raft-Passed-On'

const KEPT = ['Content-Type', 'Cache-Control', 'Retry-After', 'Allow'] as const

/**
 * An operator's request, sent to the agent of the leader; null when that cannot be done and the
 * client has to go there itself: no leader is known, or the request was passed on already.
 */
export async function passOn(api: Api, exchange: Exchange, body: string): Promise<Reply | null> {
  const { leader, members } = api.node.status()
  const to = members.find(member => member.id === leader)
  const { passedOn, token } = exchange.head
  if (passedOn || to === undefined || to.address === '') return null
  const { method = 'POST' } = exchange.incoming
  try {
    const answer = await api.peers.ask(
      to,
      {
        method,
        path: exchange.target.path + exchange.target.search,
        headers: { [MARK]: '1', ...(token !== null && { 'X-Consul-Token': token }) },
        signal: AbortSignal.timeout(api.limits.passOnMs),
      },
      body,
    )
    return relayed(api, answer)
  } catch (error) {
    api.log.warn({ err: error, leader }, 'the leader did not answer a request that was passed on')
    return lost(api)
  }
}

/** The headers on every answer are this node's, as everywhere. */
function relayed(api: Api, { status, headers: given, body }: Answer): Reply {
  const headers = raftHeaders(api.node.status())
  for (const name of KEPT) {
    const value = given[name.toLowerCase()]
    if (typeof value === 'string') headers[name] = value
  }
  headers['Content-Length'] = String(Buffer.byteLength(body))
  return { status, headers, body }
}

function lost(api: Api): Reply {
  const detail =
    'no answer from the leader; it may still happen. The same request may be sent again'
  return problemReply(
    { status: 504, code: 'COMMIT_UNKNOWN', detail, retryable: false },
    api.node.status(),
  )
}
