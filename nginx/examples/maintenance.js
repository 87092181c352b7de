// Answers '1' or '', which nginx's `if` takes for yes and no. Where nothing is known yet, the site is open and flags
// are off.
import kv from 'raft-kv.js'

function on(key) {
  return kv.get(key) === 'on' ? '1' : ''
}

function closed() {
  return on('site/maintenance')
}

function newCheckout() {
  return on('flag/new-checkout')
}

export default { closed, newCheckout }
