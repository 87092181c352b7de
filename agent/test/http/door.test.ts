import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import type { Caller } from '../../src/http/acl/caller.ts'
import { checkPeer } from '../../src/http/door.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { Peers } from '../../src/http/peers.ts'
import { parseTarget } from '../../src/http/raw-target.ts'
import { isRefusal, refuse } from '../../src/http/refusal.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { Lanes } from '../../src/transport/lanes.ts'
import { gate, type Harness, serve } from './harness.ts'
import { type Answer, parse } from './raw-client.ts'

const HERE = '10.0.0.1'
const stranger: Caller = { rights: () => refuse(401, 'TOKEN_NEEDED', '') }

function requestOf(remoteAddress: string, method: string): IncomingMessage {
  return { method, socket: { remoteAddress, localAddress: HERE } } as unknown as IncomingMessage
}

interface Asked {
  readonly from: string
  readonly request: string
  readonly peers?: Peers
}

function refused({ from, request, peers = new Peers(null, false) }: Asked): string | null {
  const [method = '', path = ''] = request.split(' ')
  const target = parseTarget(path, HTTP_LIMITS)
  if (isRefusal(target)) throw new Error(target.detail)
  return checkPeer(target, requestOf(from, method), { peers, caller: stranger })?.code ?? null
}

const CHANGES = [
  'POST /join',
  'POST /v1/cluster/members',
  'DELETE /v1/cluster/members/node1',
  'PUT /v1/cluster/voters',
  'POST /v1/cluster/leader',
  'GET /v1/cluster/backup',
]

t.test('who is elsewhere and proves nothing neither changes the cluster nor copies it', async t => {
  for (const request of CHANGES) {
    t.equal(refused({ from: '10.0.0.9', request }), 'PROVE_PEER', request)
    for (const from of ['127.0.0.1', '::1', '::ffff:127.0.0.1', HERE]) {
      t.equal(refused({ from, request }), null, `${request} from ${from}`)
    }
  }
  for (const request of ['GET /v1/cluster/members', 'GET /metrics', 'POST /key', 'GET /status']) {
    t.equal(refused({ from: '10.0.0.9', request }), null, request)
  }
})

t.test(
  'an agent that proved to be one may, and anybody where the configuration says so',
  async t => {
    for (const request of CHANGES) {
      const open = new Peers(null, true)
      t.equal(refused({ from: '10.0.0.9', request, peers: open }), null, request)
    }
    const peers = new Peers(null, false)
    const incoming = requestOf('10.0.0.9', 'POST')
    const target = parseTarget('/join', HTTP_LIMITS)
    if (isRefusal(target)) throw new Error(target.detail)
    t.equal(checkPeer(target, incoming, { peers, caller: stranger })?.code, 'PROVE_PEER')
    peers.adopt(incoming.socket, asNodeId('node1'))
    t.equal(checkPeer(target, incoming, { peers, caller: stranger }), null)
  },
)

/** Asks by way of another node, on a lane for each. */
async function asking(t: Test, { http }: Harness) {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  const clock = new SystemClock()
  new Lanes(far, { clock, onLane: lane => http.serve(lane) })
  const lanes = new Lanes(near, { clock, onLane: null })
  t.teardown(() => {
    near.destroy()
    far.destroy()
  })
  return async (request: string, ...headers: string[]): Promise<Answer> => {
    const lane = lanes.open()
    const chunks: Buffer[] = []
    lane?.on('data', chunk => chunks.push(chunk))
    lane?.write(`${[`${request} HTTP/1.1`, 'Host: x', ...headers].join('\r\n')}\r\n\r\n`)
    if (lane !== null) await once(lane, 'end')
    return parse(Buffer.concat(chunks).toString('latin1'))
  }
}

const LAST = 'Connection: close'

t.test('row 46: by way of another node comes a client, whatever that node has proven', async t => {
  const ask = await asking(t, await serve(t))
  const operators = [...CHANGES, 'GET /metrics', 'GET /v1/cluster/members', 'GET /openapi.json']
  for (const request of operators) {
    for (const headers of [[], ['X-Raft-Passed-On: 1'], ['X-Raft-Hop: 0']]) {
      const { status, body } = await ask(request, LAST, ...headers, 'Content-Length: 0')
      t.equal(status, 403, request)
      t.match(JSON.parse(body), { code: 'OPERATORS_ONLY' })
    }
  }
  t.equal((await ask('GET /livez', LAST)).status, 200)
  t.equal((await ask('DELETE /key/a', LAST)).status, 200, 'while clients are served')
})

t.test(
  'what comes by way of another node while the server ends, and after it, is answered',
  async t => {
    const harness = await serve(t, { limits: { closeDrainMs: 50 } })
    const ask = await asking(t, harness)
    const closed = harness.http.close()
    const during = await ask('DELETE /key/a')
    await closed
    for (const answer of [during, await ask('DELETE /key/a'), await ask('DELETE /key/a', LAST)]) {
      t.equal(answer.status, 200)
      t.equal(answer.headers.get('connection'), 'close')
    }
  },
)

t.test('a server has not ended while what came by way of another node is carried out', async t => {
  const harness = await serve(t, { limits: { closeDrainMs: 10, closeGraceMs: 10_000 } })
  const ask = await asking(t, harness)
  const { node, http, tcp } = harness
  const open = gate({ node })
  const answer = ask('DELETE /key/a')
  while (node.proposals === 0) await new Promise(resolve => setImmediate(resolve))
  let hasEnded = false
  const closed = http.close().then(() => {
    hasEnded = true
  })
  while (await accepts(tcp)) await new Promise(resolve => setImmediate(resolve))
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(hasEnded, false)
  open()
  t.equal((await answer).status, 200)
  await closed
})

function accepts(at: Harness['tcp']): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(at)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
