import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { gate, type Harness, serve } from './harness.ts'
import { parse, raw, request } from './raw-client.ts'

const GET = 'GET /key/a HTTP/1.1\r\nHost: a\r\n\r\n'
const POST = 'POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"a":"b"}'

async function answered(socket: Socket, bytes: string): Promise<string> {
  socket.write(bytes)
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  return chunk.toString()
}

async function sample({ http }: Harness, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${http.port}/metrics`)
  const line = (await answer.text()).split('\n').find(each => each.startsWith(`${name} `))
  return Number(line?.split(' ')[1])
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(resolve => setImmediate(resolve))
}

t.test('a body in pieces is put together, and its memory is counted meanwhile', async t => {
  const harness = await serve(t)
  const value = 'v'.repeat(200_000)
  const body = JSON.stringify({ a: value })
  const head = `POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`
  const socket = connect(harness.tcp)
  socket.write(head + body.slice(0, 100_000))
  await until(async () => (await sample(harness, 'raft_nginx_http_body_bytes')) > 0)
  t.match(await answered(socket, body.slice(100_000)), /^HTTP\/1.1 200/)
  t.equal((await request(harness.tcp, 'GET /key/a')).body, body)
  t.equal(await sample(harness, 'raft_nginx_http_body_bytes'), 0)
  socket.destroy()
})

t.test('a client that leaves with half a body gives its memory back', async t => {
  const harness = await serve(t)
  const socket = connect(harness.tcp)
  socket.write(`POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(500)}`)
  await until(async () => (await sample(harness, 'raft_nginx_http_body_bytes')) > 0)
  socket.destroy()
  await until(async () => (await sample(harness, 'raft_nginx_http_body_bytes')) === 0)
  t.equal(harness.node.proposals, 0)
})

t.test('what is sent before the answer waits for it, and is answered in turn', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const socket = connect(harness.tcp)
  const received: string[] = []
  socket.on('data', chunk => received.push(chunk.toString()))
  socket.write(POST)
  await until(() => harness.node.proposals === 1)
  socket.write(GET)
  // Another connection's answer shows that the loop has turned with both there.
  t.equal((await request(harness.tcp, 'GET /key/a')).body, '{"a":""}')
  t.strictSame(received, [])
  open()
  await until(() => received.join('').includes('{"a":"b"}'))
  t.equal(received.join('').match(/HTTP\/1\.1 200/g)?.length, 2)
  socket.destroy()
})

t.test('a client that leaves before its answer is counted as one, once', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const socket = connect(harness.tcp)
  socket.write(POST)
  await until(() => harness.node.proposals === 1)
  socket.destroy()
  const left = 'raft_nginx_http_requests_total{route="keys",method="POST",code="499"}'
  await until(async () => (await sample(harness, left)) === 1)
  open()
  t.equal(await sample(harness, 'raft_nginx_http_requests_in_flight'), 1, 'the one that asks')
  t.equal(await sample(harness, left), 1)
  t.strictSame(harness.errors, [])
})

t.test(
  'a connection that was answered and says no more ends, one that asks on does not',
  async t => {
    const { tcp } = await serve(t, { limits: { keepAliveMs: 300, headTimeoutMs: 100 } })
    const [idle, busy] = [connect(tcp), connect(tcp)]
    await answered(idle, GET)
    const ended = once(idle.resume(), 'close')
    let over = false
    void ended.then(() => {
      over = true
    })
    let asked = 0
    while (!over) {
      t.match(await answered(busy, GET), /^HTTP\/1.1 200/)
      asked++
    }
    t.ok(asked > 1)
    busy.destroy()
  },
)

t.test('a first request that comes slowly has its time from the connection on', async t => {
  const limits = { headTimeoutMs: 400, requestTimeoutMs: 600 }
  const { tcp } = await serve(t, { limits })
  const began = performance.now()
  const socket = connect(tcp)
  const drip = setInterval(() => socket.write('G'), 300)
  socket.on('error', () => {})
  const answer: Buffer[] = []
  socket.on('data', chunk => answer.push(chunk))
  await once(socket, 'close')
  clearInterval(drip)
  t.ok(performance.now() - began < 5_000)
  t.match(Buffer.concat(answer).toString(), /^HTTP\/1.1 40[08]/)
  t.equal((await raw(tcp, POST.slice(0, -3))).status, 408)
})

t.test('while the server ends, each answer says that its connection does', async t => {
  const harness = await serve(t, { limits: { closeDrainMs: 2_000, closeGraceMs: 500 } })
  const socket = connect(harness.tcp)
  t.match(await answered(socket, GET), /Connection: keep-alive/)
  const closed = harness.http.close()
  t.match(await answered(socket, GET), /Connection: close/)
  await once(socket, 'close')
  await closed
})

t.test('a value of a type that no header has is no answer', async t => {
  const harness = await serve(t)
  const { node, tcp, errors } = harness
  await request(tcp, 'PUT /v1/kv/a', { body: 'v' })
  const query = node.query.bind(node)
  node.query = async asked => {
    const answer = await query(asked)
    if (answer.kind !== 'rows' || answer.rows === null) return answer
    const rows = answer.rows.map(row => ({ ...row, contentType: 'a/b\r\nSet-Cookie: c' }))
    return { ...answer, rows }
  }
  const socket = connect(tcp)
  socket.write('GET /v1/kv/a?raw HTTP/1.1\r\nHost: a\r\n\r\n')
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  await once(socket, 'close')
  t.equal(parse(Buffer.concat(chunks).toString()).status, 0)
  t.strictSame(errors, ['an answer could not be written'])
})
