/** gateway.md, section 4: keys byte for byte, with a method that reads and one that writes. */

import type { Test } from 'tap'
import { type Fleet, startFleet } from './fleet.ts'
import { latin1, request, send } from './raw-client.ts'

/** Targets as bytes in latin1. They must arrive exactly so. */
const FORWARDED = [
  '/key/a',
  '/key/a%2Fb',
  '/key/a%2fb',
  '/key/a%252Fb',
  '/key/a%25b',
  '/key/a+b',
  '/key/a%20b',
  '/key/a;b',
  '/key/a%3Fb',
  '/key/a%23b',
  '/key/a?b=c/..',
  '/key/a?stale',
  '/key/%E2%82%AC',
  '/key/%FF%FE',
  '/key/a%0d%0aX:1',
  '/key/...',
  '/key/.a',
  "/key/~!$&'()*+,;=:@-._",
  '/v1/kv/a/',
  '/v1/kv/a//b',
  '/v1/kv/?recurse',
  '/v1/kv/a%2Fb?index=7&wait=5s',
  '/v1/txn',
  '/v1/session/list',
  '/v1/status/leader',
  '/v1/agent/self',
  '/v1/catalog/services',
  '/v1/kv/a?keys&separator=/',
]

const REFUSED: ReadonlyArray<readonly [target: string, status: number]> = [
  ['/key/a/b', 400],
  ['/key//a', 400],
  ['/key/', 400],
  [Buffer.from('/key/€').toString('latin1'), 400],
  ['/key/\xff', 400],
  ['/key/a"b', 400],
  ['/key/a\\b', 400],
  ['/key/a#b', 400],
  ['/key/a b', 400],
  ['/key/a%00b', 400],
  ['/key/a%', 400],
  ['/key/a%zz', 400],
  ['/key/.', 400],
  ['/key/%2e', 400],
  ['/key/..%2Fv1%2Fkv%2Fx', 400],
  ['/key/..', 404],
  ['/%6bey/a', 400],
  ['/./key/a', 400],
  ['/v1/kv/../../key/a', 400],
  ['/v1/cluster/../../key', 400],
  ['//key/a', 400],
  ['/v1/kv/a/./b', 400],
  ['/v1/kv/a/%2E%2e/b', 400],
  ['/v1/cluster/members', 403],
  ['/v1/cluster', 403],
  ['/v1/kv/..%2Fcluster/members', 403],
  ['/v1/kv/%2e%2e/cluster', 403],
  ['/v1/cluster%2F..%2Fkv/a', 400],
  ['/v1/nothing', 400],
  ['/', 404],
  ['/keys', 404],
]

export function keys(t: Test): void {
  t.test('every key of the table arrives as it was sent, or not at all', async t => {
    const fleet = await startFleet(t)
    for (const method of ['GET', 'DELETE']) {
      for (const target of FORWARDED) await forwarded(t, fleet, method, target)
      const absolute = await exchange(fleet, method, 'http://host/key/a%2Fb')
      t.strictSame(absolute.arrivals, [[method, '/key/a%2Fb']], `${method} absolute form`)
      for (const [target, status] of REFUSED) await refused(t, fleet, { method, target, status })
    }
    t.strictSame(fleet.nginx.complaints(), [])
  })
}

async function forwarded(t: Test, fleet: Fleet, method: string, target: string): Promise<void> {
  const { answer, arrivals } = await exchange(fleet, method, target)
  t.equal(answer.status, 200, `${method} ${target}`)
  t.strictSame(arrivals, [[method, target]], `${method} ${target} arrives exactly, once`)
}

async function refused(
  t: Test,
  fleet: Fleet,
  { method, target, status }: { method: string; target: string; status: number },
): Promise<void> {
  const { answer, arrivals } = await exchange(fleet, method, target)
  t.equal(answer.status, status, `${method} ${JSON.stringify(target)}`)
  t.strictSame(arrivals, [], `${method} ${JSON.stringify(target)} reaches no agent`)
  t.equal(answer.headers.get('content-type'), 'application/problem+json', 'no HTML')
  t.equal(JSON.parse(answer.body).status, status)
}

async function exchange(fleet: Fleet, method: string, target: string) {
  const at = method === 'GET' ? fleet.local : fleet.one
  const before = fleet.arrived()
  const seen = at.arrivals.length
  const answer = await send(fleet.port, latin1(request(method, target)))
  const arrivals = at.arrivals.slice(seen).map(arrival => [arrival.method, arrival.target])
  // One that went to the wrong agent must not look like one that went nowhere.
  if (fleet.arrived() - before !== arrivals.length) throw new Error(`${method} ${target}: astray`)
  return { answer, arrivals }
}
