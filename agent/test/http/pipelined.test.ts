import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import type { ReadOutcome } from '../../src/node/outcome.ts'
import { gate, serve } from './harness.ts'
import { PIPELINED, pipelined } from './pipelined-requests.ts'
import { accepted, Client, CONSISTENT, GET, post, sample, someTurns } from './pipelining-client.ts'
import { type Sent, TwoWays } from './two-ways.ts'

const CASES = 150
/** Of what is longer, so many; of what is shorter, all. */
const CUTS = 60
const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)
t.setTimeout(120_000)

t.test('what is pipelined is answered as if it came one by one, cut anywhere', async t => {
  const ways = await TwoWays.open(t)
  for (const [at, bytes] of PIPELINED.entries()) {
    await t.resolves(ways.compare([{ bytes, next: 'wait' }]))
    const step = Math.ceil(bytes.length / CUTS)
    for (let cut = 1 + (at % step); cut < bytes.length; cut += step) {
      const sent: Sent = [
        { bytes: bytes.subarray(0, cut), next: cut % 2 === 0 ? 'wait' : 'at-once' },
        { bytes: bytes.subarray(cut), next: 'wait' },
      ]
      await ways.compare(sent)
    }
  }
  await t.resolves(ways.checkCounts())
})

t.test(`drawn requests, pipelined, in pieces: ${CASES} connections`, async t => {
  const ways = await TwoWays.open(t)
  const pieces = fc.array(
    fc.record({ bytes: fc.integer({ min: 1, max: 400 }), wait: fc.boolean() }),
  )
  const property = fc.asyncProperty(pipelined, pieces, async (bytes, lengths) => {
    const sent: { bytes: Uint8Array; next: 'wait' | 'at-once' }[] = []
    let at = 0
    for (const { bytes: length, wait } of lengths) {
      sent.push({ bytes: bytes.subarray(at, at + length), next: wait ? 'wait' : 'at-once' })
      at += length
    }
    await ways.compare([...sent, { bytes: bytes.subarray(at), next: 'wait' }])
  })
  await t.resolves(fc.assert(property, { numRuns: CASES, seed }))
  await t.resolves(ways.checkCounts())
})

t.test(
  'writes behind writes are under way together, in their order; a read waits for them',
  async t => {
    const harness = await serve(t)
    const { node } = harness
    const open = gate(harness)
    const writes = ['DELETE /key/a HTTP/1.1\r\nHost: a\r\n\r\n', post('1'), post('2')]
    const put = 'PUT /v1/kv/a?cas=0 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx'
    const gone = 'DELETE /v1/kv/a?cas=3 HTTP/1.1\r\nHost: a\r\n\r\n'
    const client = new Client(harness, `${writes.join('')}${put}${gone}${GET}${post('4')}${GET}`)
    while (node.proposals < 5) await turn()
    await someTurns()
    t.equal(node.proposals, 5, 'what is behind the read waits with it')
    t.equal(client.text, '')
    open()
    const text = await client.answers(8)
    t.strictSame(client.statuses, [200, 200, 200, 200, 200, 200, 200, 200])
    t.strictSame(text.match(/(?<=X-Raft-Index: )\d+/g), ['1', '2', '3', '4', '5', '5', '6', '6'])
    t.strictSame(text.match(/false|true|{"a":"[^"]*"}/g), [
      'false',
      'true',
      '{"a":""}',
      '{"a":"4"}',
    ])
    client.socket.destroy()
  },
)

t.test(
  'each kind of write is with the node in the moment it is begun, so that none overtakes',
  async t => {
    const harness = await serve(t)
    const { node } = harness
    gate(harness)
    const length = 'Content-Length: 1\r\n\r\n1'
    const kinds = [
      post('1'),
      post('1').replace('Host', 'Idempotency-Key: k\r\nHost'),
      'DELETE /key/a HTTP/1.1\r\nHost: a\r\n\r\n',
      `PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\n${length}`,
      `PUT /v1/kv/a?cas=1&flags=3 HTTP/1.1\r\nHost: a\r\n${length}`,
      `PUT /v1/kv/a?ttl=30s HTTP/1.1\r\nHost: a\r\n${length}`,
      `PUT /v1/kv/a?acquire=8f7c0f0e-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: a\r\n${length}`,
      `PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nIf-Match: "1"\r\n${length}`,
      'DELETE /v1/kv/a?recurse HTTP/1.1\r\nHost: a\r\n\r\n',
    ]
    const socket = connect(harness.tcp)
    let seen = 0
    // Runs right after the one that reads: what is begun later than in that moment is not there yet.
    const onData = () => {
      seen = node.proposals
    }
    for (const [at, bytes] of kinds.entries()) {
      socket.write(bytes)
      if (at === 0) {
        while (node.proposals === 0) await turn()
        accepted.at(-1)?.on('data', onData)
      }
      while (node.proposals <= at) await turn()
      if (at > 0) t.equal(seen, at + 1, bytes)
    }
    socket.destroy()
  },
)

t.test(
  'a write waits for the linearizable reads before it, which are under way together',
  async t => {
    const harness = await serve(t)
    const { node } = harness
    const reads: ((outcome: ReadOutcome) => void)[] = []
    const linearizable = node.linearizable.bind(node)
    node.linearizable = () => new Promise(resolve => reads.push(resolve))
    const client = new Client(harness, `${CONSISTENT.repeat(3)}${post('1')}${GET}`)
    while (reads.length < 3) await turn()
    await someTurns()
    t.equal(node.proposals, 0)
    for (const settle of reads.reverse()) {
      t.equal(client.text, '')
      await someTurns()
      settle(await linearizable())
    }
    const text = await client.answers(5)
    t.strictSame(text.match(/{"a":"[^"]*"}/g), [...Array(3).fill('{"a":""}'), '{"a":"1"}'])
    client.socket.destroy()
  },
)

t.test('answers come in the order of the requests, in whichever they are found', async t => {
  const harness = await serve(t)
  const { node } = harness
  const count = 500
  const linearizable = node.linearizable.bind(node)
  let asked = 0
  node.linearizable = async () => {
    for (let turns = (asked++ * 7919) % 13; turns > 0; turns--) await turn()
    return linearizable()
  }
  const keys = Array.from({ length: count }, (_, at) => `key${at}`)
  const requests = keys.map(key => CONSISTENT.replace('/a', `/${key}`))
  const client = new Client(harness, requests.join(''))
  const text = await client.answers(count)
  t.strictSame(text.match(/(?<={")[^"]*/g), keys)
  client.socket.destroy()
})

t.test('answers that are ready in the same turn leave in one write', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const client = new Client(harness, post('1'))
  while (harness.node.proposals === 0) await turn()
  const server = accepted.at(-1) as Socket
  const written: number[] = []
  const write = server.write.bind(server)
  server.write = (...args: unknown[]) => {
    written.push(String(args[0]).match(/HTTP\/1\.1 200/g)?.length ?? 0)
    return Reflect.apply(write, server, args) as boolean
  }
  client.socket.write(post('2').repeat(9))
  while (harness.node.proposals < 10) await turn()
  open()
  await client.answers(10)
  t.strictSame(written, [10])
  client.socket.destroy()
})

t.test('a connection has 64 under way, all behind the first ones have 256', async t => {
  const harness = await serve(t)
  const { node } = harness
  const open = gate(harness)
  const one = new Client(harness, post('1').repeat(100))
  await someTurns()
  t.equal(node.proposals, 64)
  const others = Array.from({ length: 5 }, () => new Client(harness, post('2').repeat(100)))
  const plain = new Client(harness, post('3'))
  while (node.proposals < 256 + 7) await turn()
  await someTurns()
  t.equal(node.proposals, 256 + 7, 'each connection has its first one')
  open()
  for (const client of [one, ...others]) await client.answers(100)
  await plain.answers(1)
  t.equal(node.proposals, 601)
  for (const { socket } of [one, ...others, plain]) socket.destroy()
})

t.test('of large bodies one connection has one under way', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const client = new Client(harness, post('v'.repeat(50_000)).repeat(3))
  while (harness.node.proposals === 0) await turn()
  await someTurns()
  t.equal(harness.node.proposals, 1)
  open()
  await client.answers(3)
  t.equal(harness.node.proposals, 3)
  client.socket.destroy()
})

t.test('a client that leaves with many under way is counted for each of them, once', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const client = new Client(harness, post('1').repeat(100))
  while (harness.node.proposals < 64) await turn()
  client.socket.resetAndDestroy()
  const left = 'raft_nginx_http_requests_total{route="keys",method="POST",code="499"}'
  while ((await sample(harness, left)) < 64) await turn()
  open()
  await someTurns()
  t.equal(await sample(harness, 'raft_nginx_http_requests_in_flight'), 1, 'the one that asks')
  t.equal(await sample(harness, left), 64)
  t.equal(await sample(harness, 'raft_nginx_http_body_bytes'), 0)
  t.equal(harness.node.proposals, 64, 'what was not begun never is')
  t.strictSame(harness.errors, [])
  const next = new Client(harness, post('1').repeat(65))
  await next.answers(65)
  next.socket.destroy()
})

t.test(
  'what Node has to answer waits for what came before it, and goes to it with the rest',
  async t => {
    const harness = await serve(t)
    const open = gate(harness)
    const members = 'GET /v1/cluster/members HTTP/1.1\r\nHost: a\r\n\r\n'
    const client = new Client(harness, `${post('1')}${members}${GET}`)
    while (harness.node.proposals === 0) await turn()
    client.socket.write(post('2'))
    await someTurns()
    t.equal(client.text, '')
    open()
    await client.answers(4)
    t.strictSame(client.statuses, [200, 200, 200, 200])
    t.match(client.text, /"members":[\s\S]*{"a":"1"}/)
    client.socket.destroy()
  },
)

t.test(
  'twenty thousand requests on one connection are answered, each once and in turn',
  async t => {
    const harness = await serve(t)
    const count = 20_000
    const client = connect(harness.tcp)
    let received = 0
    let rest = ''
    client.setEncoding('latin1').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('{"a":""}')
      rest = parts.pop() ?? ''
      received += parts.length
    })
    const requests = Buffer.from(GET.repeat(1000))
    for (let at = 0; at < count; at += 1000) {
      if (!client.write(requests)) await once(client, 'drain')
    }
    while (received < count) await turn()
    t.equal(received, count)
    client.destroy()
  },
)
