import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { gate, type Harness, serve } from './harness.ts'
import { accepted, Client, CONSISTENT, GET, post, sample, someTurns } from './pipelining-client.ts'

const LARGE = 300_000

/** @returns values of so many bytes, each its own, of the keys `0` and up */
async function fill(harness: Harness, count: number, bytes: number): Promise<string[]> {
  const values = Array.from({ length: count }, (_, at) => `${at},`.padEnd(bytes, 'v'))
  for (const [at, value] of values.entries()) {
    const client = new Client(harness, post(value, `${at}`))
    await client.answers(1)
    client.socket.destroy()
  }
  return values
}

/** Clients that read nothing, until nothing moves any more; and the other ends of their connections. */
async function idlers(harness: Harness, count: number, asked: string) {
  const sockets = Array.from({ length: count }, () => connect(harness.tcp).pause())
  for (const socket of sockets) socket.on('error', () => {}).write(asked)
  await someTurns()
  const others = accepted.slice(-count)
  const state = () => others.map(each => `${each.writableLength},${each.bytesRead}`).join()
  let before = ''
  while (before !== state() || others.some(each => each.writableLength === 0)) {
    before = state()
    await someTurns()
  }
  return { sockets, others }
}

/** How often the machine was looked at since then. */
function looks({ node }: Harness): () => number {
  let looked = 0
  const query = node.query.bind(node)
  node.query = asked => {
    looked++
    return query(asked)
  }
  return () => looked
}

for (const [bytes, keptMax] of [
  [LARGE, LARGE + 1_000],
  [100_000, 256 * 1024 + 2_000],
] as const) {
  for (const [kind, request] of Object.entries({ local: GET, linearizable: CONSISTENT })) {
    t.test(`of ${kind} reads of ${bytes} bytes, unread, ${keptMax} bytes are kept`, async t => {
      const harness = await serve(t)
      await fill(harness, 1, bytes)
      const looked = looks(harness)
      const asked = request.replace('/a', '/0').repeat(20_000)
      const { sockets, others } = await idlers(harness, 3, asked)
      for (const { writableLength, bytesRead } of others) {
        t.ok(writableLength > bytes / 2 && writableLength <= keptMax, `${writableLength} bytes`)
        t.ok(bytesRead < 200_000, `${bytesRead} bytes of requests`)
      }
      // What the kernel has taken is looked at as well, and what was put off.
      t.ok(looked() <= 3 * 64 * 4, `${looked()} looks`)
      for (const socket of sockets) socket.resetAndDestroy()
    })
  }
}

t.test('those that read nothing take no place from others that pipeline', async t => {
  const harness = await serve(t)
  await fill(harness, 1, LARGE)
  const { sockets } = await idlers(harness, 8, CONSISTENT.replace('/a', '/0').repeat(2_000))
  const open = gate(harness)
  const before = harness.node.proposals
  const clients = Array.from({ length: 5 }, () => new Client(harness, post('1').repeat(100)))
  while (harness.node.proposals < before + 256 + 5) await turn()
  await someTurns()
  t.equal(harness.node.proposals, before + 256 + 5)
  open()
  for (const client of clients) await client.answers(100)
  for (const { socket } of clients) socket.destroy()
  for (const socket of sockets) socket.resetAndDestroy()
  while ((await sample(harness, 'raft_nginx_http_requests_in_flight')) > 1) await turn()
})

for (const suffix of ['', '?consistent']) {
  t.test(
    `a client that reads late has each answer of its place: GET /key/<k>${suffix}`,
    async t => {
      const harness = await serve(t)
      const count = 60
      const values = await fill(harness, count, LARGE)
      const looked = looks(harness)
      const reads = values.map((_, at) => GET.replace('/a', `/${at}${suffix}`)).join('')
      // Each of them would show in an answer before it, were that found after it.
      const writes = values.map((_, at) => post('w', `${at}`)).join('')
      const { sockets } = await idlers(harness, 1, `${reads}${writes}${reads}`)
      const [socket] = sockets
      const last = `{"${count - 1}":"w"}`
      const chunks: string[] = []
      let tail = ''
      socket?.setEncoding('latin1').on('data', (chunk: string) => {
        chunks.push(chunk)
        tail = (tail + chunk).slice(-last.length)
      })
      socket?.resume()
      while (tail !== last) await turn()
      const bodies = chunks.join('').match(/{"\d+":"[^"]*"}/g) ?? []
      t.strictSame(
        bodies.map(body => body.replace(/v+/, bytes => `${bytes.length}`)),
        [
          ...values.map((value, at) => `{"${at}":"${at},${value.length - `${at},`.length}"}`),
          ...values.map((_, at) => `{"${at}":"w"}`),
        ],
      )
      t.ok(looked() > count * 2 && looked() <= count * 3, `${looked()} looks`)
      t.equal(await sample(harness, 'raft_nginx_http_requests_in_flight'), 1, 'the one that asks')
      socket?.destroy()
    },
  )
}
