import type { Handler } from './exchange.ts'
import { problemReply } from './reply.ts'

/** `POST /join`: refused in words until the member list can change. Its body is not read. */
export const postJoin: Handler = async api => {
  const detail =
    'membership changes come in a later release; the members are those of the configuration'
  const code = 'NOT_IMPLEMENTED'
  return problemReply({ status: 501, code, detail, retryable: false }, api.node.status())
}
