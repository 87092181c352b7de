import { decodeOutcome, type KvOutcome } from '../../machine/kv/answer.ts'
import { encodeCommand, type KvCommand } from '../../machine/kv/command.ts'
import type { Api, Exchange } from '../exchange.ts'
import { propose } from '../propose.ts'
import type { Reply } from '../reply.ts'
import { failedReply } from './consul-reply.ts'

/** What became of a write: the machine's answer, or the reply that says why there is none. */
export type Written =
  | { readonly kind: 'answered'; readonly answer: KvOutcome; readonly index: number }
  | { readonly kind: 'failed'; readonly reply: Reply }

const NOTHING: KvOutcome = { kind: 'rows', rows: [] }

/** Takes a command through the log. */
export async function write(
  api: Api,
  by: Pick<Exchange, 'head' | 'caller'>,
  command: KvCommand,
): Promise<Written> {
  const outcome = await propose(api, by, encodeCommand(command))
  if (outcome.kind === 'applied' && outcome.result.kind === 'done') {
    const { value } = outcome.result
    const answer = value === null ? NOTHING : decodeOutcome(value)
    return { kind: 'answered', answer, index: outcome.position.index }
  }
  return { kind: 'failed', reply: failedReply(outcome, api.node.status()) }
}
