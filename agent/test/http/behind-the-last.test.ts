import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { gate, serve, WAYS } from './harness.ts'

const GET = 'GET /key/a HTTP/1.1\r\nHost: a\r\n\r\n'
const POST = 'POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"a":"b"}'

// The third way, through Hono, decides at the beginning of a request what its answer says.
for (const { way, ...settings } of WAYS.filter(({ lean }) => lean)) {
  t.test(`${way}: behind the answer that ends a connection nothing happens any more`, async t => {
    const harness = await serve(t, {
      ...settings,
      limits: { closeDrainMs: 50, closeGraceMs: 500 },
    })
    const { node, http, tcp } = harness
    const open = gate({ node })
    const socket = connect(tcp)
    const received: Buffer[] = []
    socket.on('data', chunk => received.push(chunk))
    socket.write(POST)
    while (node.proposals === 0) await new Promise(resolve => setImmediate(resolve))
    // Comes apart from the first one, so that it waits where requests wait.
    socket.write(GET + POST)
    await fetch(`http://127.0.0.1:${http.port}/livez`)
    const closed = http.close()
    open()
    await once(socket, 'close')
    await closed
    const text = Buffer.concat(received).toString()
    t.equal(text.match(/HTTP\/1\.1 200/g)?.length, 1)
    t.match(text, /Connection: close/i)
    t.equal(node.proposals, 1, 'a client that sends the others again has them once')
  })
}

t.test(
  'writes that are under way when a server ends are all answered, and only the last one ends it',
  async t => {
    const harness = await serve(t, { limits: { closeDrainMs: 50, closeGraceMs: 2_000 } })
    const { node, http, tcp } = harness
    const open = gate({ node })
    const socket = connect(tcp)
    const received: Buffer[] = []
    socket.on('data', chunk => received.push(chunk))
    socket.write(POST.repeat(3))
    while (node.proposals < 3) await new Promise(resolve => setImmediate(resolve))
    const closed = http.close()
    socket.write(POST)
    await fetch(`http://127.0.0.1:${http.port}/livez`)
    open()
    await once(socket, 'close')
    await closed
    const text = Buffer.concat(received).toString()
    t.equal(text.match(/HTTP\/1\.1 200/g)?.length, 3)
    t.equal(text.match(/Connection: close/g)?.length, 1)
    t.match(text, /Connection: close\r\n\r\n$/)
    t.equal(node.proposals, 3)
  },
)
