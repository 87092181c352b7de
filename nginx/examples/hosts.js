import kv from 'raft-kv.js'

/** Printable, and a path or a URL: nothing else becomes part of an answer. */
const TARGET = /^(?:https?:\/)?\/[!-~]*$/
/** Which headers the store may set: not those by which messages are told apart. */
const ALLOWED = [
  'Content-Security-Policy',
  'Referrer-Policy',
  'Strict-Transport-Security',
  'X-Content-Type-Options',
  'X-Frame-Options',
]

/** `redirect/<host><path>` is where to go; '' for nowhere. */
function redirect(r) {
  const target = kv.get(`redirect/${r.variables.host}${r.variables.uri}`)
  return target !== undefined && TARGET.test(target) ? target : ''
}

/** `headers/<host>` is JSON: names and values. */
function headers(r) {
  const wanted = kv.json(`headers/${r.variables.host}`) || {}
  for (let at = 0; at < ALLOWED.length; at++) {
    const value = wanted[ALLOWED[at]]
    if (typeof value === 'string' && /^[ -~]*$/.test(value)) r.headersOut[ALLOWED[at]] = value
  }
}

export default { redirect, headers }
