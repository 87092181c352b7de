import type { NodeStatus } from '../node/node-api.ts'
import { type Handler, statusIfAny } from './exchange.ts'
import { healthReply } from './reply.ts'

/** `GET /livez`: the process serves. Never needs a quorum, nor a node that has started. */
export const getLive: Handler = async (api, { target }) =>
  healthReply(target.query.has('verbose') ? '[+]process' : 'ok', true, statusIfAny(api))

/**
 * `GET /readyz`: a leader is known and this node has caught up. `?noleader` skips the first; what there
 * is to catch up with only a leader can say, so without one the second cannot fail.
 */
export const getReady: Handler = async (api, { target }) => {
  const status = statusIfAny(api)
  if (status === null) return healthReply('[-]node: it has not started', false, null)
  const noleader = target.query.has('noleader')
  const trusted = status.quarantine === null
  const ready = status.ready || (noleader && trusted && status.leader === null)
  if (target.query.has('verbose')) return healthReply(checks(status, noleader), ready, status)
  return healthReply(ready ? 'ok' : status.notReady, ready, status)
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
