import type { Clock } from '../clock/clock.ts'
import type { Logger } from '../node/logger.ts'
import type { NodeId } from '../raft/types.ts'
import { type AskAgent, askPlainly } from './ask-agent.ts'
import { detailOf } from './join-client.ts'

const RETRY_MS = 1_000
/** A leader that takes it waits for a majority. */
const ANSWER_MS = 15_000

export interface LeaveOptions {
  readonly id: NodeId
  /** of the data directory that is to be no member any more */
  readonly incarnation: string
  /** HTTP of agents of the cluster, `host:port` */
  readonly via: readonly string[]
  readonly clock: Clock
  readonly log: Logger
  /** Default: on the operators' port. */
  readonly ask?: AskAgent
  /** Between two rounds. Default: a second. */
  readonly retryMs?: number
}

/**
 * Asks one agent after the other, again and again, until one answers that this data directory is no member of what
 * the cluster has now: a majority has decided so, or had before. Says why not whenever that changes.
 */
export async function leaveCluster(options: LeaveOptions): Promise<void> {
  const { clock, log, via, retryMs = RETRY_MS } = options
  let told = ''
  for (;;) {
    for (const address of via) {
      const refusal = await askOne(options, address)
      if (refusal === null) return
      if (refusal !== told) log.warn({}, `not let go yet: ${refusal}`)
      told = refusal
    }
    await new Promise<void>(resolve => clock.after(retryMs, resolve))
  }
}

/** Null: it is no member; else why it may be, in words. */
async function askOne(
  { id, incarnation, ask = askPlainly }: LeaveOptions,
  address: string,
): Promise<string | null> {
  const path = `/v1/cluster/members/${id}?incarnation=${encodeURIComponent(incarnation)}`
  try {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const answer = await ask({ address }, { method: 'DELETE', path, signal }, '')
    return answer.status === 200 ? null : `${address} answers ${answer.status}: ${detailOf(answer)}`
  } catch (error) {
    return `${address} does not answer: ${error instanceof Error ? error.message : error}`
  }
}
