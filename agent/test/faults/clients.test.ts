import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Actor, type Scene } from '../../../scripts/faults/mixed/clients.ts'
import { Ledger } from '../../../scripts/faults/mixed/record.ts'

async function gateway(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function scene(url: string, rest: Partial<Scene>): Scene {
  const ledger = new Ledger('/dev/null')
  const always = { isOver: () => false, disksFailed: () => false }
  return { ...{ seed: 1, ledger, gateways: () => [url] }, ...always, ...rest }
}

t.test('what has to be answered has its whole time once the run is over', async t => {
  const patienceMs = 400
  let over = false
  let sinceOver = 0
  const begun = performance.now()
  // Nobody can answer for longer than it would have time; then the run ends, and somebody can.
  const url = await gateway(t, (_, response) => {
    if (over) sinceOver += 1
    if (performance.now() > begun + 2 * patienceMs) over = true
    response.statusCode = sinceOver > 1 ? 200 : 503
    response.end('true')
  })
  const actor = new Actor(scene(url, { isOver: () => over }), 'counter', 1)
  const reply = await actor.once({ method: 'PUT', path: '/v1/kv/a' }, patienceMs)
  t.equal(reply?.status, 200)
  over = true
  const never = await gateway(t, (_, response) => response.writeHead(503).end())
  const other = new Actor(scene(never, { isOver: () => true }), 'other', 1)
  t.equal(await other.once({ method: 'PUT', path: '/v1/kv/a' }, 1), null, 'and no more than that')
})

t.test('a read may be answered 500 if a disk failed since it was asked for', async t => {
  const url = await gateway(t, (_, response) => response.writeHead(500).end('disk I/O error'))
  const healed = performance.now() + 1_000
  const during = scene(url, { disksFailed: since => since < healed })
  await new Actor(during, 'a', 1).read('/v1/kv/a')
  t.equal(during.ledger.violationCount, 0)
  const after = scene(url, { disksFailed: since => since < 0 })
  await new Actor(after, 'a', 1).read('/v1/kv/a')
  t.match(after.ledger.violations, ['was answered 500'])
})
