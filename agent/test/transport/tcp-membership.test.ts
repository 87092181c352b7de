import t from 'tap'
import { greetingFrame } from '../../src/transport/handshake.ts'
import { FilePeerIdentities, MemoryPeerIdentities } from '../../src/transport/peer-identities.ts'
import { contactOf, freePort, heartbeat, membersAt, node0, node1, until } from './harness.ts'
import { freePorts, identity, raw, started } from './tcp-harness.ts'

t.test('a member that is added is dialled, one that moved is dialled anew', async t => {
  const ports = await freePorts()
  const a = await started(t, node0, new Map([...ports].slice(0, 1)))
  const b = await started(t, node1, ports)
  await until(() => /node0 is not a member|node1 is not a member/.test(b.error(node0)), 'unknown')
  t.same(a.transport.links(), [])
  a.transport.setMembership({ members: membersAt(ports), open: false })
  await until(() => a.connected(node1) && b.connected(node0), 'both ways')
  t.match(a.recorder.met, [
    { ...contactOf(node1, ports.get(node1)), incarnation: 'node1-1' },
    { id: node1, incarnation: 'node1-1' },
  ])
  const moved = new Map(ports).set(node1, await freePort())
  await b.transport.close()
  const again = await started(t, node1, moved)
  a.transport.setMembership({ members: membersAt(moved), open: false })
  await until(() => a.connected(node1) && again.connected(node0), 'at its new address')
  a.transport.send([heartbeat(node0, node1, 1)])
  await until(() => again.recorder.messages.length === 1, 'and served there')
})

t.test('a removed member is sent away in words, both ways, and forgotten', async t => {
  const directory = t.testdir()
  const ports = await freePorts()
  const identities = await FilePeerIdentities.open(directory)
  const a = await started(t, node0, ports, { identities })
  const b = await started(t, node1, ports)
  await until(() => a.connected(node1) && b.connected(node0), 'connected')
  const others = membersAt(ports).filter(member => member.id !== node1)
  a.transport.setMembership({ members: others, open: false })
  t.notOk(a.transport.links().some(link => link.peer === node1))
  await until(
    () => b.error(node0) === 'refused: node1 is not a member in the configuration of node0',
    'told',
  )
  t.equal(b.transport.links().find(link => link.peer === node0)?.refused, true)
  await until(
    () => b.lines.some(line => line.includes('refused by it: node1 is not')),
    'the other way too',
  )
  b.transport.send([heartbeat(node1, node0, 1)])
  await until(() => b.recorder.unreachable.length > 0, 'nothing gets through')
  t.same(a.recorder.messages, [])
  const lines = a.lines.filter(line => line.includes('refused node1'))
  t.equal(lines.length, 1, 'logged once, although it dials on')
  await b.transport.close()
  const wiped = await started(t, node1, ports, {
    identity: identity(node1, { incarnation: 'new' }),
  })
  a.transport.setMembership({ members: membersAt(ports), open: false })
  await until(
    () => a.connected(node1) && wiped.connected(node0),
    'added again, it may be somebody new',
  )
  t.equal(await (await FilePeerIdentities.open(directory)).verify(node1, 'new'), null)
})

t.test('B17 what the cluster has recorded overrules who was met first', async t => {
  const ports = await freePorts()
  const identities = new MemoryPeerIdentities()
  await identities.record(node1, 'met earlier')
  const a = await started(t, node0, ports, { identities })
  const b = await started(t, node1, ports)
  await until(() => /node1 was known/.test(a.error(node1)), 'refused')
  const recorded = (incarnation: string) =>
    membersAt(ports).map(member => (member.id === node1 ? { ...member, incarnation } : member))
  a.transport.setMembership({ members: recorded('node1-1'), open: false })
  await until(() => a.connected(node1) && b.connected(node0), 'the recorded one is let in')
  a.transport.setMembership({ members: recorded('node1-2'), open: true })
  await until(() => /node1 was known/.test(b.error(node0)), 'and sent away when it is another')
  await until(() => !a.connected(node1), 'on both connections')
  t.equal(await identities.verify(node1, 'node1-1'), null, 'nothing was recorded of node1-2')
})

t.test('a node whose list may be old lets others in as guests, and answers them', async t => {
  const ports = await freePorts()
  const own = membersAt(ports).filter(member => member.id === node1)
  const a = await started(t, node0, ports)
  const b = await started(t, node1, ports)
  b.transport.setMembership({ members: own, open: true })
  await until(() => a.connected(node1) && b.connected(node0), 'let in and dialled back')
  b.transport.send([heartbeat(node1, node0, 7)])
  await until(() => a.recorder.messages.length === 1, 'answered')
  b.transport.setMembership({ members: own, open: false })
  await until(() => /not a member/.test(a.error(node1)), 'sent away once the list is current')
  t.same(b.transport.links(), [])
  b.transport.setMembership({ members: own, open: true })
  await until(() => a.connected(node1) && b.connected(node0), 'let in again')
  await a.transport.close()
  await until(() => b.transport.links().length === 0, 'a guest that left is not dialled')
})

t.test(
  'a peer whose process ends is reported gone; one that is silent or removed is not',
  async t => {
    const ports = await freePorts()
    const a = await started(t, node0, ports)
    const b = await started(t, node1, ports)
    await until(() => a.connected(node1) && b.connected(node0), 'connected')
    t.same(a.recorder.gone, [], 'node2 was never there')
    await b.transport.close()
    await until(() => a.recorder.gone.length > 0, 'reported')
    const end = performance.now() + 200
    await until(() => performance.now() > end, 'some more dials')
    t.same(a.recorder.gone, [node1], 'once')
    const again = await started(t, node1, ports)
    await until(() => a.connected(node1) && again.connected(node0), 'back')
    const others = membersAt(ports).filter(member => member.id !== node0)
    again.transport.setMembership({ members: others, open: false })
    await until(() => /not a member/.test(a.error(node1)), 'it removed us')
    t.same(a.recorder.gone, [node1], 'which is no death')
  },
)

t.test('a greeting with a malformed address is none', async t => {
  const ports = await freePorts()
  const b = await started(t, node1, ports)
  for (const change of [{ address: 'nowhere' }, { address: ':80' }, { raftBind: 'a:0' }]) {
    const hello = greetingFrame('hello', { ...identity(node0), ...change }, node1)
    const peer = await raw(t, ports.get(node1) ?? 0, hello)
    await until(() => peer.closed(), 'closed')
    t.equal(peer.text(), '')
  }
  t.match(b.lines.join('\n'), /malformed address/)
})
