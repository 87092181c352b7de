import { assert } from '../lib/assert.ts'
import type { AnswerTo, KvQuery } from '../machine/kv/query.ts'
import type { Api } from './exchange.ts'

/** Reads this node's own machine, now. */
export async function readMachine<Query extends KvQuery>(
  api: Api,
  query: Query,
): Promise<AnswerTo<Query>> {
  const answer = await api.node.query(query)
  assert(answer.kind === query.kind, 'a query is answered by its own kind')
  return answer as AnswerTo<Query>
}
