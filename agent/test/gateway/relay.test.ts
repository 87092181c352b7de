import { once } from 'node:events'
import { createServer as createHttpServer, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { readAsked, Turn } from '../../src/gateway/turn.ts'
import { until } from '../transport/harness.ts'
import { authority, certificates, issue, secret } from '../transport/tls-harness.ts'
import { beside, bodyOf, type Client, leader, listening, node, self } from './relay-parts.ts'

const SECRET = secret('of all')

function echo(incoming: Parameters<typeof bodyOf>[0], outgoing: ServerResponse): void {
  void bodyOf(incoming).then(body => outgoing.end(body.length > 0 ? body : 'none'))
}

const status = (answer: Awaited<ReturnType<Client['answer']>>) =>
  answer === 'closed' ? answer : answer.status

/** @param held what a handler has set meanwhile */
function finish(held: ServerResponse | null, body: string): void {
  held?.setHeader('Content-Length', body.length)
  held?.end(body)
}

t.test('what nginx sends says to whom it goes, and how long it is', async t => {
  const read = (text: string) => readAsked(Buffer.from(text))
  t.equal(read('POST /key HTTP/1.1\r\nX-Raft-To: node1\r\n'), null)
  const head = 'DELETE /key/a HTTP/1.1\r\nX-Raft-To: node1\r\nX-Raft-Hop: 1\r\n\r\n'
  t.strictSame(read(`${head}x`), { to: 'node1', bytes: head.length })
  const long =
    'PUT /key/a HTTP/1.1\r\nX-Raft-To: a.b\r\nX-Raft-Hop: 1\r\ncontent-length: 12\r\n\r\n'
  t.strictSame(read(long), { to: 'a.b', bytes: long.length + 12 })
  for (const none of [
    'GET / HTTP/1.1\r\n\r\n',
    `POST / HTTP/1.1\r\nX-Raft-To: ${'x'.repeat(65)}\r\nX-Raft-Hop: 1\r\n\r\n`,
    'POST / HTTP/1.1\r\nX-Raft-To: a\r\n\r\n',
    'POST /join HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\nX-Raft-To: a\r\nX-Raft-Hop: 1\r\n\r\n',
    'POST / HTTP/1.1\r\nA: b\rX-Raft-To: a\r\nX-Raft-To: a\r\nX-Raft-Hop: 1\r\n\r\n',
    'POST / HTTP/1.1\r\nX-Raft-To: a\r\nX-Raft-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'x'.repeat(65 * 1024),
  ]) {
    t.throws(() => read(none))
  }
})

t.test('a turn is over with the last byte of its answer, however that is cut', async t => {
  const answers = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'abc'],
    ['HTTP/1.1 421 x\r\nA: b\r\ncontent-length: 0\r\n\r\n', ''],
    ['HTTP/1.1 204 x\r\n\r\n', ''],
  ] as const
  for (const [head, body] of answers) {
    const bytes = Buffer.from(head + body)
    for (let cut = 1; cut <= bytes.length; cut++) {
      const turn = new Turn(10)
      t.ok(turn.asked(10))
      turn.answered(bytes.subarray(0, cut))
      t.equal(turn.isOver, cut === bytes.length)
      if (cut < bytes.length) turn.answered(bytes.subarray(cut))
      t.ok(turn.isOver)
    }
  }
  const early = new Turn(10)
  early.asked(4)
  early.answered(Buffer.from('HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n'))
  t.notOk(early.isOver, 'the rest of the request is still to come')
  t.notOk(early.asked(7), 'and no more than that')
  const chunked = new Turn(0)
  chunked.answered(Buffer.from('HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n'))
  t.strictSame([chunked.isOver, chunked.mayBeOver], [false, true])
})

t.test('many connections of nginx share one to the leader, and each has its answers', async t => {
  const far = await node(t, SECRET, echo)
  const near = await beside(t, SECRET, far.port)
  const clients = Array.from({ length: 50 }, () => near.connect())
  for (let round = 0; round < 3; round++) {
    const bodies = clients.map((_, at) =>
      Buffer.alloc(1 + ((at * 7919 * (round + 1)) % 200_000), at),
    )
    for (const [at, client] of clients.entries()) client.ask('/key', bodies[at])
    for (const [at, client] of clients.entries()) {
      const answer = await client.answer()
      t.ok(answer !== 'closed' && bodies[at]?.equals(answer.body), `${round} ${at}`)
    }
  }
  const [one] = clients
  one?.ask('/key', Buffer.alloc(1024 * 1024 + 7, 1))
  const large = await one?.answer()
  t.ok(typeof large === 'object' && large.body.length === 1024 * 1024 + 7)
  t.equal(far.arrived.length, 1)
})

t.test('no way to a node is 421, which says that nothing has happened', async t => {
  const far = await node(t, SECRET, echo)
  const strange = await beside(t, secret('another'), far.port)
  const client = strange.connect()
  client.ask('/key', 'x')
  t.equal(status(await client.answer()), 421)
  await until(() => client.closed, 'it ends')
  t.match(strange.log, [/writes are not taken to node1: .*secret/])
  t.equal(far.arrived.length, 0)
  const near = await beside(t, SECRET, far.port)
  const lost = near.connect()
  lost.ask('/key', Buffer.alloc(300_000), 'node7')
  t.equal(status(await lost.answer()), 421)
  const dead = await beside(t, SECRET, 1)
  for (let time = 0; time < 2; time++) {
    const refused = dead.connect()
    refused.ask('/key', 'x')
    t.equal(status(await refused.answer()), 421)
  }
  t.equal(dead.log.length, 1, 'the same reason is said once')
})

t.test('a request whose bytes have left is never sent again, and never called undone', async t => {
  const seen: string[] = []
  const far = await node(t, SECRET, incoming => {
    seen.push(incoming.url ?? '')
    incoming.resume()
  })
  const near = await beside(t, SECRET, far.port)
  const [cut, idle] = [near.connect(), near.connect()]
  cut.ask('/cut', 'x')
  idle.ask('/idle', 'x')
  await until(() => seen.length === 2, 'both are there')
  for (const socket of far.arrived) socket.destroy()
  t.equal(await cut.answer(), 'closed')
  t.equal(await idle.answer(), 'closed')
  const again = near.connect()
  again.ask('/again', 'x')
  await until(() => seen.length === 3, 'a new connection to the leader')
  t.strictSame(seen.sort(), ['/again', '/cut', '/idle'])
})

t.test('a connection of nginx that waits outlives the one to the leader', async t => {
  const far = await node(t, SECRET, echo)
  const near = await beside(t, SECRET, far.port)
  const client = near.connect()
  for (let time = 1; time <= 3; time++) {
    client.ask('/key', `${time}`)
    t.match(await client.answer(), { status: 200, body: Buffer.from(`${time}`) })
    t.equal(near.dialled.length, time)
    far.arrived.at(-1)?.destroy()
    await until(() => near.dialled.every(socket => socket.closed), 'the relay knows')
  }
  t.notOk(client.closed)
})

t.test(
  'who leaves is missed at the leader; what nginx never sends ends its connection',
  async t => {
    let left = 0
    const far = await node(t, SECRET, (incoming, outgoing) => {
      incoming.resume()
      outgoing.on('close', () => left++)
    })
    const near = await beside(t, SECRET, far.port)
    const client = near.connect()
    client.ask('/key', 'x')
    await until(() => far.arrived.length === 1, 'asked')
    client.socket.write('more than its length')
    await until(() => client.closed && left === 1, 'both ends know')
    const gone = near.connect()
    gone.ask('/key', 'x')
    gone.socket.end()
    await until(() => gone.closed, 'one that ends its side has left')
  },
)

t.test('a reader that takes nothing is not sent more than a few buffers', async t => {
  const answer = Buffer.alloc(6_000_000, 7)
  let outgoing: ServerResponse | null = null
  const far = await node(t, SECRET, (incoming, answering) => {
    incoming.resume()
    outgoing = answering
    answering.setHeader('Content-Length', answer.length)
    for (let at = 0; at < answer.length; at += 50_000) {
      answering.write(answer.subarray(at, at + 50_000))
    }
    answering.end()
  })
  const near = await beside(t, SECRET, far.port)
  const [slow, quick] = [near.connect(), near.connect()]
  slow.socket.pause()
  slow.ask('/slow', 'x')
  await until(() => outgoing !== null, 'asked')
  const { socket } = outgoing as unknown as ServerResponse
  t.ok((socket?.writableLength ?? 0) > 4_000_000, 'most of it waits where it was made')
  quick.ask('/quick', 'x')
  const whole = await quick.answer()
  t.ok(whole !== 'closed' && answer.equals(whole.body), 'others do not wait for it')
  t.ok((socket?.writableLength ?? 0) > 4_000_000, 'and still does')
  slow.socket.resume()
  const late = await slow.answer()
  t.ok(late !== 'closed' && answer.equals(late.body))
})

for (const who of ['the relay', 'the leader'] as const) {
  t.test(
    `${who} gets new certificates: what is under way is answered, and the rest goes by a new connection`,
    async t => {
      const [old, next] = [await authority(), await authority()]
      const pair = async (id: typeof self) => ({
        before: certificates(await issue(old, id), old, next),
        between: certificates(await issue(next, id), old, next),
        after: certificates(await issue(next, id), next),
      })
      const [ours, theirs] = [await pair(self), await pair(leader)]
      let held: ServerResponse | null = null
      const far = await node(t, theirs.before, (incoming, outgoing) => {
        incoming.resume()
        if (incoming.url === '/held') held = outgoing
        else outgoing.end('at once')
      })
      const near = await beside(t, ours.before, far.port)
      const [waiting, resting] = [near.connect(), near.connect()]
      waiting.ask('/held')
      resting.ask('/first')
      t.match(await resting.answer(), { status: 200 })
      await until(() => held !== null, 'one is under way')
      near.wire.replace(ours.between)
      far.wire.replace(theirs.between)
      if (who === 'the relay') near.wire.replace(ours.after)
      else far.wire.replace(theirs.after)
      // Until the word of the other end is here they go by the first one.
      while (far.arrived.length < 2) {
        resting.ask('/next')
        t.match(await resting.answer(), { status: 200 })
      }
      t.notOk(far.arrived[0]?.destroyed, 'the first one stays for what is under way')
      finish(held, 'at last')
      t.match(await waiting.answer(), { status: 200, body: Buffer.from('at last') })
      await until(() => far.arrived[0]?.destroyed === true, 'and ends with it')
      waiting.ask('/again')
      t.match(await waiting.answer(), { status: 200 })
      t.equal(far.arrived.length, 2)
    },
  )
}

t.test('an agent of before lanes is spoken to as agents did then, encrypted as well', async t => {
  if (SECRET.kind !== 'secret') throw new Error('a secret')
  const { key: psk } = SECRET
  const spoken: unknown[] = []
  const http = createHttpServer(echo)
  const server = createTlsServer({
    ...{ minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' },
    ALPNProtocols: ['raft-nginx', 'raft-nginx-http'],
    pskCallback: () => psk,
  })
  server.on('secureConnection', socket => {
    spoken.push(socket.alpnProtocol)
    http.emit('connection', socket)
    t.teardown(() => socket.destroy())
  })
  const near = await beside(t, SECRET, await listening(t, server))
  const clients = [near.connect(), near.connect(), near.connect()]
  for (const round of ['1', '2']) {
    for (const client of clients) client.ask('/key', round)
    for (const client of clients) {
      t.match(await client.answer(), { status: 200, body: Buffer.from(round) })
    }
  }
  t.strictSame(
    spoken,
    Array.from(clients, () => 'raft-nginx-http'),
  )
})

t.test('at its end it answers what is under way, and refuses what comes', async t => {
  let held: ServerResponse | null = null
  const far = await node(t, SECRET, (incoming, outgoing) => {
    incoming.resume()
    held = outgoing
  })
  const near = await beside(t, SECRET, far.port)
  const [waiting, late] = [near.connect(), near.connect()]
  await once(late.socket, 'connect')
  waiting.ask('/held')
  await until(() => held !== null, 'under way')
  const closed = near.relay.close()
  late.ask('/late')
  t.equal(status(await late.answer()), 421)
  finish(held, 'still')
  t.match(await waiting.answer(), { status: 200 })
  await closed
  t.ok(waiting.closed)
})

t.test('an answer before the end of its request is that request’s only', async t => {
  const far = await node(t, SECRET, (incoming, outgoing) => {
    outgoing.setHeader('Content-Length', 2)
    outgoing.end('ok')
    incoming.resume()
  })
  const near = await beside(t, SECRET, far.port)
  for (const cut of [10, 300_000]) {
    const client = near.connect()
    const body = Buffer.alloc(cut, 1)
    client.head('/early', 2 * cut)
    client.socket.write(body)
    t.match(await client.answer(), { status: 200 })
    client.socket.write(body)
    client.ask('/next', body)
    t.match(await client.answer(), { status: 200 }, 'whatever came together')
    client.ask('/last')
    t.match(await client.answer(), { status: 200 })
    t.notOk(client.closed)
  }
})
