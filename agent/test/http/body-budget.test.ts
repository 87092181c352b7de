import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { eventually } from '../node/in-process-cluster.ts'
import { gate, type Harness, serve, WAYS } from './harness.ts'
import { parseMetrics } from './metrics-text.ts'
import { parse, request } from './raw-client.ts'

const KIB = 1024

async function held({ tcp }: Harness): Promise<number | undefined> {
  const { body } = await request(tcp, 'GET /metrics')
  return parseMetrics(body).samples.get('raft_nginx_http_body_bytes')
}

/** Has sent so much of a value of `bytes`, and no more. */
async function begun(t: Test, harness: Harness, bytes: number, sent: number): Promise<Socket> {
  const before = (await held(harness)) ?? 0
  const socket = connect(harness.tcp)
  t.teardown(() => socket.destroy())
  socket.write(`PUT /v1/kv/k HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`)
  socket.write('x'.repeat(sent))
  await eventually('it has come', async () =>
    (await held(harness)) === before + sent ? true : undefined,
  )
  return socket
}

async function answerTo(socket: Socket): Promise<number> {
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  return parse(bytes.toString()).status
}

for (const { way, ...how } of WAYS) {
  t.test(`${way}: all bodies together have so much memory; beyond it nothing happens`, async t => {
    const harness = await serve(t, { ...how, limits: { bodiesBytesMax: 100 * KIB } })
    const { tcp, node } = harness
    const first = await begun(t, harness, 60 * KIB, 50 * KIB)
    const second = await begun(t, harness, 60 * KIB, 40 * KIB)
    const refused = await request(tcp, 'POST /key', { body: `{"a":"${'x'.repeat(20 * KIB)}"}` })
    t.equal(refused.status, 503)
    t.equal(refused.headers.get('retry-after'), '1')
    t.match(JSON.parse(refused.body), { code: 'OVERLOADED', retryable: true })
    t.equal(node.proposals, 0)
    t.equal((await request(tcp, 'POST /key', { body: '{"b":"fits"}' })).status, 200)
    t.equal((await request(tcp, 'GET /key/b')).status, 200, 'reads need none of it')
    second.destroy()
    await eventually('who leaves gives it back', async () =>
      (await held(harness)) === 50 * KIB ? true : undefined,
    )
    first.write('x'.repeat(10 * KIB))
    t.equal(await answerTo(first), 200)
    await eventually('and who has the answer', async () =>
      (await held(harness)) === 0 ? true : undefined,
    )
    t.equal(
      (await request(tcp, 'POST /key', { body: `{"a":"${'x'.repeat(20 * KIB)}"}` })).status,
      200,
    )
  })

  t.test(
    `${way}: a body stays counted as long as its write waits; a chunked one as it comes`,
    async t => {
      const harness = await serve(t, { ...how, limits: { bodiesBytesMax: 100 * KIB } })
      const open = gate(harness)
      const writing = request(harness.tcp, 'PUT /v1/kv/w', { body: 'x'.repeat(70 * KIB) })
      await eventually('it waits', async () =>
        (await held(harness)) === 70 * KIB ? true : undefined,
      )
      const chunk = `${(40 * KIB).toString(16)}\r\n${'x'.repeat(40 * KIB)}\r\n0\r\n\r\n`
      const chunked = connect(harness.tcp)
      t.teardown(() => chunked.destroy())
      chunked.write(
        `PUT /v1/kv/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
      )
      t.equal(await answerTo(chunked), 503)
      t.equal(await held(harness), 70 * KIB, 'what was refused is let go at once')
      open()
      t.equal((await writing).status, 200)
      await eventually('all is given back', async () =>
        (await held(harness)) === 0 ? true : undefined,
      )
    },
  )
}
