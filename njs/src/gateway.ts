/** The handlers that nginx calls. They read and write `r`; what they decide is in decide.ts. */

import { decide, parseBrief, type Route, surelyUnsent } from './decide.ts'
import { problem } from './problem.ts'

const FRESH = '/_raft/status_fresh'

/**
 * A write whose way is not plain to the configuration: it is to be redirected, or no leader is known, or none that was
 * rendered, or its body's length is not. The status it asks for is cached for a second.
 */
async function write(r: NginxHTTPRequest): Promise<void> {
  await route(r, '/_raft/status', r.variables.raft_write_mode || 'proxy')
}

/** The agent answered 421: it does not lead, and nothing happened. Asks afresh, once. */
async function relearn(r: NginxHTTPRequest): Promise<void> {
  await again(r, 'the leader moved, twice')
}

/**
 * No answer to a forwarded write. Repeated, once, only where nothing was sent: one that was sent may have been
 * committed, and only the client knows whether it may be repeated.
 */
async function lost(r: NginxHTTPRequest): Promise<void> {
  if (surelyUnsent(r.variables.upstream_bytes_sent)) {
    await again(r, 'the leader is unreachable')
    return
  }
  const detail = 'no answer from the leader after the request was sent'
  problem(r, { status: 504, code: 'COMMIT_UNKNOWN', detail: detail })
}

/** No answer to a read: its agent is this machine's own. */
function agentDown(r: NginxHTTPRequest): void {
  problem(r, { status: 503, code: 'AGENT_DOWN', detail: 'the local agent did not answer' })
}

async function again(r: NginxHTTPRequest, refusal: string): Promise<void> {
  if (r.variables.raft_relearned) {
    problem(r, { status: 503, code: 'NO_LEADER', detail: refusal })
    return
  }
  r.variables.raft_relearned = '1'
  await route(r, FRESH, 'proxy')
}

async function route(r: NginxHTTPRequest, from: string, mode: string): Promise<void> {
  let decision = await decided(r, from, mode)
  // Two gateways that go by cached answers send a client to and fro until one of them is a second old.
  if (decision.kind === 'redirect') decision = await decided(r, FRESH, mode)
  switch (decision.kind) {
    case 'none':
      problem(r, { status: 503, code: decision.code, detail: decision.detail })
      return
    case 'redirect':
      // 301 and 302 lose the method, 308 is cached: who leads now must not be.
      r.headersOut['Cache-Control'] = 'no-store'
      r.return(307, decision.url)
      return
    case 'upstream':
      r.variables.raft_upstream = decision.name
      r.variables.raft_leader = decision.to
      r.internalRedirect('@raft_forward')
  }
}

async function decided(r: NginxHTTPRequest, from: string, mode: string): Promise<Route> {
  const reply = await r.subrequest(from)
  return decide({
    brief: parseBrief(reply.status, reply.responseText),
    mode: mode,
    members: r.variables.raft_members || '',
    target: r.variables.request_uri || '',
  })
}

export default { write, relearn, lost, agentDown }
