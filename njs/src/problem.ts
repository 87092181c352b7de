/** Answers that nginx gives in the agents' place: RFC 9457. */

const TITLES: Record<number, string> = { 503: 'Service Unavailable', 504: 'Gateway Timeout' }

export interface Problem {
  /** 503: surely not applied. 504: nobody knows. */
  readonly status: 503 | 504
  readonly code: 'NO_LEADER' | 'AGENT_DOWN' | 'COMMIT_UNKNOWN'
  readonly detail: string
}

export function problem(r: NginxHTTPRequest, told: Problem): void {
  const retryable = told.status === 503
  r.headersOut['Content-Type'] = 'application/problem+json'
  r.headersOut['Cache-Control'] = 'no-store'
  r.headersOut['X-Raft-Served-By'] = 'nginx'
  if (retryable) r.headersOut['Retry-After'] = '1'
  const body = {
    type: 'about:blank',
    title: TITLES[told.status],
    status: told.status,
    code: told.code,
    detail: told.detail,
    leader: null,
    retryable: retryable,
  }
  r.return(told.status, `${JSON.stringify(body)}\n`)
}
