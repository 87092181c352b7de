/**
 * What a gateway sends to the leader's agent, seen by whoever is on the network: all that agents say to each other goes
 * through taps here. Run by itself: `npx tsx agent/test/cluster/hop.process.ts`.
 */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import type { NodePlace } from '../../../scripts/lib/layout.ts'
import { kill, pause, resume, start } from '../../../scripts/lib/operations.ts'
import { startCluster, type TestCluster, until } from './harness.ts'

t.setTimeout(180_000)

/** In front of a node's port for agents. */
class Tap {
  readonly port: number
  /** what came to the node */
  inwards: Buffer[] = []
  /** both ways */
  all: Buffer[] = []

  private constructor(port: number) {
    this.port = port
  }

  /** @param target a port; it may be known later */
  static async before(t: Test, target: () => number): Promise<Tap> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const tap = new Tap((server.address() as AddressInfo).port)
    const sockets = new Set<Socket>()
    server.on('connection', near => {
      const far = connect(target(), '127.0.0.1')
      near.on('data', chunk => tap.inwards.push(chunk))
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from)
        from.on('data', chunk => tap.all.push(chunk))
        from.on('error', () => {})
        from.on('close', () => {
          sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
    t.teardown(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    return tap
  }

  forget(): void {
    this.inwards = []
    this.all = []
  }
}

/** Each agent is reached by the others through its tap only. */
async function tapped(t: Test, peers: 'secret' | 'tls') {
  const taps = new Map<string, Tap>()
  const ports = new Map<string, number>()
  for (const id of ['node0', 'node1', 'node2']) {
    taps.set(id, await Tap.before(t, () => ports.get(id) ?? 0))
  }
  const settings = (node: NodePlace) => {
    const basePort = node.gatewayPort - 100 * Number(node.id.slice(4))
    const nodes = [...taps].map(([id, { port }], at) => ({
      id,
      address: `127.0.0.1:${basePort + 100 * at + 85}`,
      raft_bind: `127.0.0.1:${port}`,
      gateway: `http://127.0.0.1:${basePort + 100 * at}`,
    }))
    ports.set(node.id, node.raftPort)
    return { nodes, transport: { address: `127.0.0.1:${node.raftPort}` } }
  }
  const cluster = await startCluster(t, { peers }, settings)
  const tapOf = ({ id }: NodePlace) => {
    const tap = taps.get(id)
    if (tap === undefined) throw new Error(`no tap before ${id}`)
    return tap
  }
  return { cluster, taps: [...taps.values()], tapOf }
}

/** Whatever a port answers to who does not prove anything. */
async function told(socket: Socket, words: string): Promise<string> {
  const heard: Buffer[] = []
  socket.on('data', chunk => heard.push(chunk))
  socket.on('error', () => {})
  socket.on('connect', () => socket.write(words))
  socket.on('secureConnect', () => socket.write(words))
  await new Promise(resolve => socket.on('close', resolve))
  return Buffer.concat(heard).toString('latin1')
}

async function strangers(t: Test, { raftPort: port }: NodePlace): Promise<void> {
  const host = '127.0.0.1'
  const ask = 'POST /key HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{"by":"none"}'
  const ALPNProtocols = ['raft-nginx-gateway', 'raft-nginx-http']
  const tls = { port, host, ALPNProtocols, rejectUnauthorized: false }
  const psk = { psk: Buffer.alloc(32, 7), identity: 'node0' }
  const ways: Readonly<Record<string, () => Socket>> = {
    'plain HTTP': () => connect(port, host),
    'TLS without a certificate': () => connectTls(tls),
    'another secret': () =>
      connectTls({
        ...tls,
        ciphers: 'TLS_AES_128_GCM_SHA256',
        pskCallback: () => psk,
      }),
  }
  for (const [way, dial] of Object.entries(ways)) {
    t.notMatch(await told(dial(), ask), 'HTTP/', `${way} has no answer`)
  }
}

/** From the gateways of followers, while the leader dies or says nothing any more. */
async function leaderLost(
  t: Test,
  cluster: TestCluster,
  { lose, restore }: { lose(node: NodePlace): unknown; restore(node: NodePlace): unknown },
): Promise<void> {
  const leader = await cluster.leader()
  const urls = cluster.others(leader).map(node => `http://${node.host}:${node.gatewayPort}`)
  const load = cluster.load({ prefix: `lost-${leader.id}-${lose.name}`, writersPerUrl: 8, urls })
  await cluster.grows(load, 100)
  await lose(leader)
  await cluster.grows(load, 100)
  await restore(leader)
  await cluster.grows(load, 100)
  await load.stop()
  t.comment(JSON.stringify([...load.statuses]))
  const others = [...load.statuses.keys()].filter(status => ![200, 503, 504].includes(status))
  t.strictSame(others, [], 'applied, refused or unknown')
  await cluster.verify(t, load)
}

for (const peers of ['secret', 'tls'] as const) {
  t.test(
    `${peers}: writes through followers' gateways, and nobody on the way reads them`,
    async t => {
      const { cluster, taps, tapOf } = await tapped(t, peers)
      const leader = await cluster.leader()
      const marks = { value: 'a-value-of-a-client', token: '5ecre7-70ken-0f-a-c1ien7' }
      const value = marks.value.repeat(20_000)
      const headers = { 'X-Consul-Token': marks.token, Authorization: '' }
      for (const node of cluster.others(leader)) {
        for (const tap of taps) tap.forget()
        for (const size of [10, 100_000, value.length]) {
          const key = `${node.id}-${size}`
          const sent = { method: 'PUT', body: value.slice(0, size), headers }
          const answer = await fetch(`http://127.0.0.1:${node.gatewayPort}/v1/kv/${key}`, sent)
          t.strictSame([answer.status, await answer.text()], [200, 'true'], key)
          t.equal(await cluster.agent(leader).read(key), value.slice(0, size), 'it is there')
        }
        const came = Buffer.concat(tapOf(leader).inwards).length
        t.ok(
          came > value.length + 100_000,
          `${node.id}'s way to the leader is the one that is tapped`,
        )
        for (const tap of taps) {
          const seen = Buffer.concat(tap.all)
          for (const [what, mark] of [...Object.entries(marks), ['HTTP', 'HTTP/1.1']] as const) {
            t.notOk(seen.includes(mark), `no ${what} in the clear`)
          }
        }
      }
      await strangers(t, leader)
      t.equal(await cluster.agent(leader).read('by'), '', 'a stranger has written nothing')
      const restore = (node: NodePlace) => start(cluster.place, node)
      await leaderLost(t, cluster, { lose: kill, restore })
      if (peers === 'tls') await leaderLost(t, cluster, { lose: pause, restore: resume })
      await until('all lanes are there again', async () => {
        const [other = leader] = cluster.others(await cluster.leader())
        return (await cluster.gateway(other).write({ last: 'write' })).status === 200
      })
    },
  )
}
