import crypto from 'crypto'
import kv from 'raft-kv.js'

/** The status of the refusal, or '' for whoever may come in. Where nothing is known, nobody may. */
function refusal(r) {
  const denied = kv.get(`deny/${r.variables.remote_addr}`) !== undefined
  const named = client(r) !== ''
  // Asked last: where it holds now, what was read before was known as well.
  if (kv.index() === 0) return '503'
  if (denied) return '403'
  return named ? '' : '401'
}

/** Who the API key belongs to; '' for none. */
function client(r) {
  const key = r.headersIn['X-Api-Key']
  if (!key) return ''
  const hash = crypto.createHash('sha256').update(key).digest('hex')
  const found = kv.json(`api-key/${hash}`)
  return found && /^[a-z0-9-]+$/.test(found.client) ? found.client : ''
}

export default { refusal, client }
