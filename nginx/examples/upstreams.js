// The name of an upstream: only one of POOLS, whatever is written.
import kv from 'raft-kv.js'

const POOLS = ['blue', 'green']

/** `pool/<host>` is JSON: who serves, and who serves so many percent of the visitors instead. */
function pool(r) {
  const wanted = kv.json(`pool/${r.variables.host}`) || {}
  const canary = known(wanted.canary) && draw(visitor(r)) < wanted.percent
  if (canary) return wanted.canary
  return known(wanted.stable) ? wanted.stable : POOLS[0]
}

function known(name) {
  return POOLS.indexOf(name) >= 0
}

/** The same visitor meets the same servers. */
function visitor(r) {
  return r.variables.cookie_visitor || r.variables.remote_addr
}

/** From 0 up to 100, the same for the same text: FNV-1a, mixed so that texts that are alike end far apart. */
function draw(text) {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (((hash ^ (hash >>> 16)) >>> 0) / 0x100000000) * 100
}

export default { pool }
