import { randomBytes } from 'node:crypto'
import { connect as connectPlain } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import type { Credentials } from '../../src/tls/credentials.ts'
import { encodeMessages } from '../../src/transport/frame.ts'
import { greetingFrame } from '../../src/transport/handshake.ts'
import { heartbeat, membersAt, node0, node1, node2, tcp, until } from './harness.ts'
import { freePorts, identity, raw, started } from './tcp-harness.ts'
import { authority, certificates, issue, rawTls, secret, wireOf } from './tls-harness.ts'
import { transportContract } from './transport.contract.ts'

const ca = await authority()
const credentialsOf = new Map<NodeId, Credentials>()
for (const id of [node0, node1, node2]) {
  credentialsOf.set(id, certificates(await issue(ca, id), ca))
}
const SECRET = secret('of all')

function certified(id: NodeId): Credentials {
  return credentialsOf.get(id) ?? SECRET
}

const MODES = { certificates: certified, secret: () => SECRET } as const

for (const [mode, credentials] of Object.entries(MODES)) {
  t.test(`TLS by ${mode} keeps the contract`, async t => {
    transportContract(t, async () => {
      const ports = await freePorts()
      return { transport: id => tcp(id, ports, { wire: wireOf(id, credentials(id)) }).transport }
    })
  })
}

/** node1 listening, and node0 dialling it with other credentials. */
async function against(t: Test, own: Credentials, other: Credentials, cluster?: string) {
  const ports = await freePorts()
  const b = await started(t, node1, ports, { wire: wireOf(node1, own) })
  const a = await started(t, node0, new Map(), {
    wire: wireOf(node0, other, cluster),
    listen: '127.0.0.1:0',
  })
  const port = ports.get(node1) ?? 0
  a.transport.setMembership({ members: membersAt(new Map([[node1, port]])), open: false })
  return { a, b }
}

t.test(
  'row 31: whoever proves nothing is refused in the handshake, and both sides say why',
  async t => {
    const foreign = await authority()
    const past = new Date(Date.now() - 20 * 86_400_000)
    const strange = await issue(ca, node0, { cluster: 'other' })
    const rows: readonly [string, Credentials, RegExp, RegExp][] = [
      [
        'a certificate of another CA, which trusts ours',
        certificates(await issue(foreign, node0), foreign, ca),
        /of no CA that is known here/,
        /closed by the peer before its welcome/,
      ],
      [
        'a certificate that has expired',
        certificates(await issue(ca, node0, { from: past }), ca),
        /has expired/,
        /closed by the peer before its welcome/,
      ],
      [
        'a certificate of another cluster, by the same CA',
        certificates(strange, ca),
        /127\.0\.0\.1:\d+: its certificate is for no node of this cluster \(URI:raft-nginx:\/\/other\/node0\)/,
        /closed by the peer before its welcome/,
      ],
      [
        'the certificate of another node',
        certificates(await issue(ca, node2), ca),
        /node2 calls itself node0/,
        /refused: node2 calls itself node0/,
      ],
      ['a secret in place of a certificate', SECRET, /^/, /of no CA that is known here/],
    ]
    for (const [name, other, line, error] of rows) {
      const { a, b } = await against(t, certified(node1), other)
      await until(() => line.test(b.lines.join('\n')), `${name}, logged: ${b.lines}`)
      await until(() => error.test(a.error(node1)), `${name}, known: ${a.error(node1)}`)
      t.equal(a.connected(node1), false, name)
      a.transport.send([heartbeat(node0, node1, 1)])
      await until(() => a.recorder.unreachable.length === 1, 'reported')
      t.strictSame([b.recorder.messages, b.recorder.met], [[], []], `${name}: nothing arrives`)
      await a.transport.close()
    }
  },
)

t.test('row 31: the certificate of a node that is no member', async t => {
  const stranger = asNodeId('node9')
  const ports = await freePorts()
  const b = await started(t, node1, ports, { wire: wireOf(node1, certified(node1)) })
  const a = await started(t, node0, new Map(), {
    wire: wireOf(stranger, certificates(await issue(ca, stranger), ca)),
    identity: identity(stranger),
    listen: '127.0.0.1:0',
  })
  const port = ports.get(node1) ?? 0
  a.transport.setMembership({ members: membersAt(new Map([[node1, port]])), open: false })
  await until(() => /node9 is not a member/.test(a.error(node1)), 'refused')
  t.strictSame([b.recorder.messages, b.recorder.met], [[], []])
})

t.test('a secret that differs, or is of another cluster, opens nothing', async t => {
  const { a, b } = await against(t, SECRET, secret('of nobody'))
  const closed = () => b.lines.find(line => line.startsWith('closed'))
  await until(() => closed() !== undefined && a.error(node1) !== '', 'refused')
  t.match(closed(), /closed a connection from 127\.0\.0\.1:\d+: it has another secret/)
  t.match(a.error(node1), /another secret/)
  t.strictSame([b.recorder.messages, b.recorder.met, a.connected(node1)], [[], [], false])
})

t.test('a dialler shows nothing to whoever cannot prove that it is the peer', async t => {
  const foreign = await authority()
  const rows: readonly [string, Credentials, Credentials, RegExp][] = [
    [
      'another CA',
      certificates(await issue(foreign, node1), foreign, ca),
      certified(node0),
      /of no CA/,
    ],
    [
      'another node',
      certified(node2),
      certified(node0),
      /must be for node1 of this cluster, and is for node2/,
    ],
    [
      'another cluster',
      certificates(await issue(ca, node1, { cluster: 'other' }), ca),
      certified(node0),
      /is for no node of this cluster/,
    ],
    ['a certificate in place of the secret', certified(node1), SECRET, /./],
  ]
  for (const [name, answering, dialling, error] of rows) {
    const heard: Buffer[] = []
    const { cert, key } = answering as Extract<Credentials, { kind: 'certificates' }>
    const server = createTlsServer({ cert, key, ALPNProtocols: ['raft-nginx'] }, socket => {
      socket.on('error', () => {})
      socket.on('data', chunk => heard.push(chunk))
    })
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await until(() => server.listening, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as { port: number }
    const a = await started(t, node0, new Map([[node1, port]]), {
      wire: wireOf(node0, dialling),
      listen: '127.0.0.1:0',
    })
    await until(() => error.test(a.error(node1)), `${name}: ${a.error(node1)}`)
    t.equal(Buffer.concat(heard).toString('latin1').includes('node0-1'), false, name)
    await a.transport.close()
  }
})

t.test('rows 31 and 45: no certificate, no ALPN, older TLS, plain TCP, noise, silence', async t => {
  for (const [mode, credentials] of Object.entries(MODES)) {
    const ports = await freePorts()
    const port = ports.get(node1) ?? 0
    const b = await started(t, node1, ports, {
      wire: wireOf(node1, credentials(node1)),
      limits: { handshakeMs: 150 },
    })
    const hello = greetingFrame('hello', identity(node0), node1)
    const message = encodeMessages([heartbeat(node0, node1, 1)]).frames[0] ?? hello
    const own = certified(node0) as Extract<Credentials, { kind: 'certificates' }>
    const { cert, key } = own
    const diallers = [
      rawTls(t, port, {}),
      rawTls(t, port, { cert, key, ALPNProtocols: ['http/1.1'] }),
      rawTls(t, port, { cert, key, maxVersion: 'TLSv1.2' }),
      ...(mode === 'secret' ? [rawTls(t, port, { cert, key })] : []),
    ]
    for (const { socket } of diallers) socket.on('secureConnect', () => socket.write(hello))
    const plain = [
      await raw(t, port, hello, message),
      await raw(t, port, 'GET /status HTTP/1.1\r\nHost: x\r\n\r\n'),
      await raw(t, port, 'SSH-2.0-OpenSSH_9.6\r\n'),
      await raw(t, port, randomBytes(1024 * 1024)),
      await raw(t, port),
    ]
    const all = [...diallers, ...plain]
    await until(() => all.every(each => each.closed()), `${mode}: all are closed`)
    for (const each of all) t.notMatch(each.text(), /node1-1/, 'and were told nothing')
    t.strictSame([b.recorder.messages, b.recorder.met], [[], []], `${mode}: nothing arrived`)
    const closed = b.lines.filter(line => line.startsWith('closed'))
    t.ok(closed.length >= 1 && closed.length <= 2, `${mode}: few lines: ${closed}`)
    for (const line of b.lines) t.ok(line.length <= 1024, 'short ones')
    // It goes on to serve who proves itself.
    const a = await started(t, node0, ports, { wire: wireOf(node0, credentials(node0)) })
    await until(() => a.connected(node1) && b.connected(node0), 'a peer connects')
  }
})

t.test('a session is not resumed, and a certificate without ALPN is not enough', async t => {
  const ports = await freePorts()
  const port = ports.get(node1) ?? 0
  const b = await started(t, node1, ports, { wire: wireOf(node1, certified(node1)) })
  const { cert, key } = certified(node0) as Extract<Credentials, { kind: 'certificates' }>
  const first = rawTls(t, port, { cert, key })
  let session: Buffer | undefined
  first.socket.on('session', ticket => {
    session ??= ticket
  })
  first.socket.on('secureConnect', () =>
    first.socket.write(greetingFrame('hello', identity(node0), node1)),
  )
  await until(() => first.text().includes('node1-1') && session !== undefined, 'welcomed')
  const met = b.recorder.met.length
  const resumed = rawTls(t, port, { cert, key, session })
  let reused = false
  resumed.socket.on('secureConnect', () => {
    reused = resumed.socket.isSessionReused()
    resumed.socket.write(greetingFrame('hello', identity(node0), node1))
  })
  const mute = rawTls(t, port, { cert, key, ALPNProtocols: [] })
  await until(() => resumed.closed() && mute.closed(), 'closed')
  t.equal(reused, true, 'TLS itself would have let it in')
  t.equal(b.recorder.met.length, met)
})

t.test('a crowd that never shakes hands does not keep a peer out', async t => {
  const ports = await freePorts()
  const limits = { strangersMax: 4, handshakeMs: 60_000 }
  const b = await started(t, node1, ports, { wire: wireOf(node1, SECRET), limits })
  const crowd = Array.from({ length: 40 }, () => connectPlain(ports.get(node1) ?? 0, '127.0.0.1'))
  let closed = 0
  for (const socket of crowd) {
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => closed++)
  }
  await until(() => closed >= 36, 'the oldest make room')
  const a = await started(t, node0, ports, { wire: wireOf(node0, SECRET) })
  await until(() => a.connected(node1) && b.connected(node0), 'connected')
})

t.test('a node has so many connections beside Raft, of which the newest stay', async t => {
  const ports = await freePorts()
  const port = ports.get(node1) ?? 0
  const came: string[] = []
  const b = await started(t, node1, ports, {
    wire: wireOf(node1, SECRET),
    onHttp: (socket, peer, language) => {
      came.push(`${language} ${peer}`)
      socket.resume()
    },
  })
  const dial = async (names: readonly string[], language: 'http' | 'gateway') => {
    const closed: number[] = []
    const before = came.length
    for (const [at, name] of names.entries()) {
      const to = { host: '127.0.0.1', port }
      const wire = wireOf(asNodeId(name), SECRET)
      const socket = wire.dial({ to, peer: node1, language }, () => {})
      t.teardown(() => socket.destroy())
      socket.on('error', () => {})
      socket.on('close', () => closed.push(at))
      socket.resume()
      await until(() => came.length > before + at, 'let in')
    }
    return closed
  }
  const http = await dial(Array(20).fill('node0'), 'http')
  const other = await dial(Array(8).fill('node2'), 'gateway')
  const gateway = await dial(Array(20).fill('node0'), 'gateway')
  await until(() => gateway.length === 12, 'the oldest of 20 are closed')
  t.strictSame(
    gateway,
    Array.from({ length: 12 }, (_, at) => at),
  )
  const names = Array.from({ length: 20 }, (_, at) => `stranger${at}`)
  const strangers = await dial(names, 'gateway')
  await until(() => strangers.length === 12, 'who is no member is counted together')
  t.strictSame([http, other], [[], []], 'nobody else has to go')
  t.match(b.lines.join('\n'), /node0: it has too many connections/)
})

t.test(
  'new certificates are used from then on, and an old CA that goes takes its connections along',
  async t => {
    const next = await authority()
    const ports = await freePorts()
    const wires = new Map([node0, node1].map(id => [id, wireOf(id, certified(id))] as const))
    const wire = (id: NodeId) => wires.get(id) ?? wireOf(id, SECRET)
    const a = await started(t, node0, ports, { wire: wire(node0) })
    const b = await started(t, node1, ports, { wire: wire(node1) })
    const linked = () => until(() => a.connected(node1) && b.connected(node0), 'connected')
    await linked()
    const met = () => a.recorder.met.length + b.recorder.met.length
    const before = met()
    const own = (id: NodeId) => certified(id) as Extract<Credentials, { kind: 'certificates' }>
    const kept = (id: NodeId) => ({ certificate: own(id).cert, key: own(id).key })
    for (const id of [node0, node1]) wire(id).replace(certificates(kept(id), ca, next))
    const fresh = new Map<NodeId, Credentials>()
    for (const id of [node0, node1]) {
      const issued = await issue(next, id)
      wire(id).replace(certificates(issued, ca, next))
      fresh.set(id, certificates(issued, next))
    }
    t.equal(met(), before, 'while both CAs are known no connection ends')
    for (const id of [node0, node1]) wire(id).replace(fresh.get(id) ?? SECRET)
    await until(() => met() > before, 'opened anew')
    await linked()
    const old = await started(t, node2, ports, {
      wire: wireOf(node2, certified(node2)),
    })
    await until(
      () => old.error(node1) !== '' && old.error(node0) !== '',
      'the old CA opens nothing',
    )
    t.equal(b.connected(node2), false)
  },
)
