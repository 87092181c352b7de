import { once } from 'node:events'
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { startHttp } from '../../src/http/server.ts'
import { gate, serve } from './harness.ts'
import { parse, raw, request, until } from './raw-client.ts'
import { SimulatedNode } from './simulated-node.ts'

const GET = 'GET /key/a HTTP/1.1\r\nHost: a\r\n\r\n'
const POST = 'POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"a":"b"}'
const QUIET = { info() {}, warn() {}, error() {} }

function start(socket: string | null, listen = '127.0.0.1:0') {
  const server = { listen, socket, socketMode: 0o660 }
  const node = new SimulatedNode()
  return startHttp({
    node,
    feed: node.machine.changes,
    server,
    limits: {},
    version: '1',
    log: QUIET,
  })
}

/** Short enough for a socket. */
function scratch(t: { teardown(end: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'raft-http-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function answered(socket: Socket, request: string): Promise<string> {
  socket.write(request)
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  return chunk.toString()
}

t.test('attacks 14, 15, 45: slow heads and bodies, and silence, end in time', async t => {
  const { tcp, unix } = await serve(t, { limits: { headTimeoutMs: 200, requestTimeoutMs: 300 } })
  const slow = ['GET /key/a HT', `${GET.slice(0, -2)}X`, POST.slice(0, -3)]
  for (const where of [tcp, unix]) {
    const answers = await Promise.all(slow.map(bytes => raw(where, bytes)))
    t.strictSame(
      answers.map(({ status }) => status),
      [408, 408, 408],
    )
    t.equal((await raw(where)).status, 408)
  }
  t.equal((await request(tcp, 'GET /key/a')).status, 200)
})

t.test('an idle connection outlives the limits of a request', async t => {
  const { tcp } = await serve(t, { limits: { headTimeoutMs: 100, requestTimeoutMs: 100 } })
  const idle = connect(tcp)
  t.match(await answered(idle, GET), /^HTTP\/1.1 200/)
  // A connection that sends half a request began later, and is closed: the limits have passed.
  t.equal((await raw(tcp, 'GET /')).status, 408)
  t.match(await answered(idle, GET), /^HTTP\/1.1 200/)
  idle.destroy()
})

t.test('an error never looks like the answer to an earlier request', async t => {
  const { node, tcp } = await serve(t, { fast: false })
  const open = gate({ node })
  t.equal(
    await until(tcp, `${POST}NONSENSE\r\n\r\n`),
    '',
    'cut: what became of the write is not known',
  )
  open()
  t.equal((await request(tcp, 'GET /key/a')).status, 200)
})

t.test('an error behind a write that was plain waits for its answer', async t => {
  const { node, tcp } = await serve(t)
  const open = gate({ node })
  const received = until(tcp, `${POST}NONSENSE\r\n\r\n`)
  while (node.proposals === 0) await new Promise(resolve => setImmediate(resolve))
  open()
  t.strictSame((await received).match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 400'])
})

t.test('thousands of pipelined requests are answered in turn, none by another', async t => {
  const { node, tcp } = await serve(t)
  const refused = 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'
  const count = 5000
  const last = 'GET /key/a HTTP/1.0\r\n\r\n'
  const received = await until(tcp, `${POST}${refused.repeat(count)}${GET.repeat(count)}${last}`)
  const statuses = received.match(/HTTP\/1\.1 \d+/g) ?? []
  const runs = statuses.filter((status, at) => status !== statuses[at - 1])
  t.strictSame(runs, ['HTTP/1.1 200', 'HTTP/1.1 400', 'HTTP/1.1 200'])
  t.equal(statuses.length, 2 * count + 2)
  t.equal(received.match(/{"a":"b"}/g)?.length, count + 1, 'each read saw the write before it')
  t.equal(node.proposals, 1)
})

t.test('a client that asks for more than it reads has no answers kept for it', async t => {
  const { node, tcp } = await serve(t)
  const count = 100
  const value = 'v'.repeat(200_000)
  await request(tcp, 'POST /key', { body: JSON.stringify({ a: value }) })
  let served = 0
  const query = node.query.bind(node)
  node.query = asked => {
    served++
    return query(asked)
  }
  const socket = connect(tcp).pause()
  socket.write(`${GET.repeat(count)}GET /key/a HTTP/1.0\r\n\r\n`)
  for (let before = -1; served === 0 || before !== served; ) {
    before = served
    for (let turns = 0; turns < 50; turns++) await turn()
  }
  t.ok(served < count, `${served} answers wait for a client that reads none`)
  let received = 0
  for await (const chunk of socket) received += (chunk as Buffer).length
  t.ok(served > count && served <= 2 * count, 'what was let go is looked for once more')
  t.ok(received > (count + 1) * value.length, 'all answers arrive once it reads')
})

t.test('attack 16: connections above the limit are refused, others are served', async t => {
  const { tcp, unix } = await serve(t, { limits: { connectionsMax: 3 } })
  const held = [connect(tcp), connect(tcp), connect(tcp)]
  for (const socket of held) t.match(await answered(socket, GET), /^HTTP\/1.1 200/)
  t.equal((await raw(tcp, GET)).status, 0)
  t.equal((await request(unix, 'GET /key/a')).status, 200)
  t.match(await answered(held[0] as Socket, GET), /^HTTP\/1.1 200/)
  for (const socket of held) socket.destroy()
})

t.test('Expect: 100-continue with a fair body is told to go on', async t => {
  const { tcp } = await serve(t)
  const socket = connect(tcp)
  const head = 'POST /key HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n'
  t.match(await answered(socket, head), /^HTTP\/1.1 100 /)
  t.match(await answered(socket, '{"a":"b"}'), /^HTTP\/1.1 200 /)
  socket.destroy()
})

t.test('a refused body is swallowed up to a bound, then the connection is cut', async t => {
  const { tcp } = await serve(t)
  const head = 'POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n'
  const socket = connect(tcp)
  socket.on('error', () => {})
  t.match(await answered(socket, head), /^HTTP\/1.1 413 .*Connection: close/s)
  const chunk = Buffer.alloc(1024 * 1024)
  let sent = 0
  while (!socket.destroyed && sent < 64) {
    sent++
    await new Promise(resolve => socket.write(chunk, resolve))
  }
  t.ok(sent < 64, `cut after ${sent} MiB`)
})

t.test('a client that leaves half-way harms nobody', async t => {
  const { node, tcp, errors } = await serve(t)
  const socket = connect(tcp)
  await once(socket, 'connect')
  socket.end(POST.slice(0, -3))
  await once(socket.resume(), 'close')
  t.equal((await request(tcp, 'GET /key/a')).body, '{"a":""}')
  t.equal(node.proposals, 0)
  t.strictSame(errors, [])
})

t.test(
  'close: idle and silent connections go, running requests finish, nothing is accepted',
  async t => {
    const { node, http, tcp, unix, socket } = await serve(t, { limits: { closeGraceMs: 400 } })
    const open = gate({ node })
    const [idle, silent, running] = [connect(tcp), connect(unix), connect(tcp)]
    await Promise.all([answered(idle, GET), once(silent, 'connect')])
    const reply = answered(running, POST)
    await new Promise<void>(resolve =>
      setImmediate(function wait() {
        if (node.proposals === 1) resolve()
        else setImmediate(wait)
      }),
    )
    const began = performance.now()
    const closed = http.close()
    const gone = [idle, silent, running].map(each => once(each, 'close'))
    open()
    t.match(parse(await reply), { status: 200 })
    await Promise.all([closed, ...gone])
    t.ok(performance.now() - began < 5_000)
    t.notOk(existsSync(socket))
    t.equal((await raw(tcp, GET)).status, 0)
  },
)

t.test('close: a request that never ends is cut', async t => {
  const { node, http, tcp } = await serve(t)
  node.gate = new Promise(() => {})
  const socket = connect(tcp)
  socket.write(POST)
  await once(socket, 'connect')
  const began = performance.now()
  await http.close()
  t.ok(performance.now() - began < 5_000)
})

t.test('the unix socket has its mode; what a killed agent left is removed', async t => {
  const directory = scratch(t)
  const path = join(directory, 'agent.sock')
  const first = await start(path)
  t.equal(statSync(path).mode & 0o777, 0o660)
  await t.rejects(start(path), /listens on this socket already/)
  t.equal((await request({ path }, 'GET /raft')).status, 200, 'the first one still serves')
  await first.close()
  // node:net closes a listener without its file only when the process dies: a plain rename keeps it.
  const stale = createServer()
  const other = join(directory, 'stale.sock')
  await new Promise<void>(resolve => stale.listen(other, resolve))
  renameSync(other, path)
  await new Promise(resolve => stale.close(resolve))
  t.ok(existsSync(path), 'a socket file where nobody listens')
  const second = await start(path)
  t.equal((await request({ path }, 'GET /raft')).status, 200)
  await second.close()
})

t.test('a path that is no socket, or too long, is refused in words', async t => {
  const directory = scratch(t)
  const path = join(directory, 'precious')
  writeFileSync(path, 'data')
  await t.rejects(start(path), /not a socket/)
  t.ok(existsSync(path))
  await t.rejects(start(join(directory, 'x'.repeat(108))), /at most 107 bytes/)
})

t.test('a port that is taken is an error, and leaves nothing open', async t => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const path = join(scratch(t), 'agent.sock')
  await t.rejects(start(path, `127.0.0.1:${port}`), { code: 'EADDRINUSE' })
  t.notOk(existsSync(path))
  await t.rejects(start(null, 'nonsense'), /not host:port/)
  holder.close()
})
