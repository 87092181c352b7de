import type { Handler } from './exchange.ts'
import { openApi } from './openapi/document.ts'
import { contentReply, uncached } from './reply.ts'

/** `GET /openapi.json` */
export const getOpenApi: Handler = async api => {
  const text = JSON.stringify(openApi(api.version))
  return uncached(contentReply({ type: 'application/json', text }, api.node.status()))
}
