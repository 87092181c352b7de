import type { IncomingMessage } from 'node:http'
import t from 'tap'
import type { Caller } from '../../src/http/acl/caller.ts'
import { checkPeer } from '../../src/http/door.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { Peers } from '../../src/http/peers.ts'
import { parseTarget } from '../../src/http/raw-target.ts'
import { isRefusal, refuse } from '../../src/http/refusal.ts'
import { asNodeId } from '../../src/raft/types.ts'

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
