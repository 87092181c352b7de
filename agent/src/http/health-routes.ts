import type { NodeStatus } from '../node/node-api.ts'
import type { EdgeView } from './edge-view.ts'
import { type Handler, statusIfAny } from './exchange.ts'
import { healthReply } from './reply.ts'

/** `GET /livez`: the process serves. Never needs a quorum, nor a node that has started. */
export const getLive: Handler = async (api, { target }) =>
  healthReply(target.query.has('verbose') ? '[+]process' : 'ok', true, statusIfAny(api))

/**
 * `GET /readyz`: a leader is known and this node has caught up. `?noleader` skips the first; what there
 * is to catch up with only a leader can say, so without one the second cannot fail. Nor is a node ready whose nginx
 * is stuck.
 */
export const getReady: Handler = async (api, { target }) => {
  const status = statusIfAny(api)
  if (status === null) return healthReply('[-]node: it has not started', false, null)
  const noleader = target.query.has('noleader')
  const trusted = status.quarantine === null
  const serves = status.ready || (noleader && trusted && status.leader === null)
  const edge = api.edge?.().state ?? null
  const ready = serves && edge !== 'stuck'
  if (target.query.has('verbose')) {
    return healthReply(checks(status, noleader) + edgeCheck(edge), ready, status)
  }
  return healthReply(ready ? 'ok' : serves ? STUCK : status.notReady, ready, status)
}

/** A worker that was killed while it wrote there: nginx's other workers wait for it for ever. */
const STUCK =
  'nginx does not answer: end its master by SIGTERM, its workers by SIGKILL, and start it'

function edgeCheck(state: EdgeView['state'] | null): string {
  if (state === null) return ''
  return state === 'stuck' ? `\n[-]edge: ${STUCK}` : `\n[+]edge: ${state}`
}

function checks(status: NodeStatus, noleader: boolean): string {
  const known = status.leader !== null
  const leader = known ? '[+]leader' : noleader ? '[+]leader: skipped' : '[-]leader: none known'
  const caughtUp =
    status.ready || !known || status.quarantine !== null
      ? '[+]caught-up'
      : `[-]caught-up: ${status.notReady}`
  const { quarantine } = status
  const trusted = quarantine === null ? '' : `\n[-]machine: ${quarantine}`
  return `[+]process\n${leader}\n${caughtUp}${trusted}`
}
