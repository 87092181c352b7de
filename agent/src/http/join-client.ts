import { z } from 'zod'
import type { Cancel, Clock } from '../clock/clock.ts'
import { parseHostPort } from '../lib/host-port.ts'
import type { Logger } from '../node/logger.ts'
import type { Acquaintance } from '../node/membership.ts'
import type { NodeApi } from '../node/node-api.ts'
import { asNodeId, NODE_ID, type NodeId } from '../raft/types.ts'
import type { Answer } from './ask.ts'
import { type AskAgent, askPlainly } from './ask-agent.ts'

const RETRY_MS = 1_000
/** A leader that takes it waits for a majority. */
const ANSWER_MS = 15_000

/** Of the answer, what is needed to call back. */
const memberList = z.object({
  members: z.array(
    z.object({
      id: z.string().regex(NODE_ID),
      raftBind: z.string().refine(text => parseHostPort(text) !== null),
    }),
  ),
})

export interface JoinOptions {
  readonly id: NodeId
  /** where this node's peers reach it, `host:port` */
  readonly raftBind: string
  readonly voter: boolean
  /** HTTP of agents of the cluster, `host:port` */
  readonly via: readonly string[]
  readonly node: Pick<NodeApi<never, unknown>, 'status'> & {
    acquaint(peers: readonly Acquaintance[]): void
  }
  readonly clock: Clock
  readonly log: Logger
  /** Default: on the operators' port. */
  readonly ask?: AskAgent
  /** Between two rounds. Default: a second. */
  readonly retryMs?: number
}

/**
 * Asks one agent after the other to let this node join, until something of the cluster's log has
 * arrived here: only then it is known to belong to it. To ask again changes nothing.
 * @returns ends it
 */
export function startJoining(options: JoinOptions): Cancel {
  const { clock, log, node, via, retryMs = RETRY_MS } = options
  const stop = new AbortController()
  let cancelWait: Cancel = () => {}
  let told = ''
  const tell = (level: 'info' | 'warn', line: string): void => {
    if (line !== told) log[level]({}, line)
    told = line
  }
  const round = async (): Promise<void> => {
    for (const address of via) {
      if (stop.signal.aborted || node.status().appliedIndex > 0) return
      const refusal = await askOne(options, address, stop.signal)
      if (refusal === null) {
        tell('info', `${address} lets this node join: its leader will call`)
        break
      }
      tell('warn', `not joined: ${refusal}`)
    }
    if (!stop.signal.aborted) cancelWait = clock.after(retryMs, () => void round())
  }
  void round()
  return () => {
    stop.abort()
    cancelWait()
  }
}

/** Null: accepted; else why not, in words. */
async function askOne(
  { id, raftBind, voter, node, ask = askPlainly }: JoinOptions,
  address: string,
  stopped: AbortSignal,
): Promise<string | null> {
  const body = JSON.stringify({ id, addr: raftBind, ...(voter ? {} : { voter }) })
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(ANSWER_MS)])
  try {
    const answer = await ask({ address }, { method: 'POST', path: '/join', signal }, body)
    if (answer.status !== 200) return `${address} answers ${answer.status}: ${detailOf(answer)}`
    node.acquaint(membersIn(answer))
    return null
  } catch (error) {
    return `${address} does not answer: ${error instanceof Error ? error.message : error}`
  }
}

/** @throws Error unless it is the answer of an agent */
function membersIn({ body }: Answer): readonly Acquaintance[] {
  const { members } = memberList.parse(JSON.parse(body))
  return members.map(({ id, raftBind }) => ({ id: asNodeId(id), raftBind }))
}

/** Of a problem; else its beginning. */
export function detailOf({ body }: { readonly body: string }): string {
  try {
    const { detail } = JSON.parse(body) as { readonly detail?: unknown }
    if (typeof detail === 'string') return detail
  } catch {
    // no agent of ours
  }
  return JSON.stringify(body.slice(0, 200))
}
