import t, { type Test } from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { type JoinOptions, startJoining } from '../../src/http/join-client.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { type Harness, serve } from './harness.ts'
import { MEMBERS, SimulatedNode } from './simulated-node.ts'

const address = ({ http }: Harness) => `127.0.0.1:${http.port}`

/** A node that joins, and what it logs. */
function joining(t: Test, via: readonly string[], change: Partial<JoinOptions> = {}) {
  const node = new SimulatedNode()
  const lines: string[] = []
  const acquainted: unknown[] = []
  const write = (_fields: object, line: string) => lines.push(line)
  const end = startJoining({
    id: asNodeId('node3'),
    raftBind: '127.0.0.1:8486',
    voter: true,
    via,
    node: Object.assign(node, { acquaint: (peers: unknown) => acquainted.push(peers) }),
    clock: new SystemClock(),
    log: { info: write, warn: write, error: write },
    retryMs: 5,
    ...change,
  })
  t.teardown(end)
  return { node, lines, acquainted, end }
}

async function until(fact: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!fact()) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

t.test('asks until the log arrives, and then no more', async t => {
  const one = await serve(t)
  one.node.outcome = { kind: 'change-pending' }
  const { node, lines, acquainted } = joining(t, [address(one)])
  await until(() => one.node.changes.length >= 3, 'asked again')
  t.match(lines, [/^not joined: 127.0.0.1:\d+ answers 503: an earlier change/])
  t.equal(lines.length, 1, 'logged once')
  one.node.outcome = { kind: 'applied' }
  await until(() => lines.length === 2, 'accepted')
  t.same(
    acquainted[0],
    MEMBERS.map(({ id, raftBind }) => ({ id, raftBind })),
    'knows whom to dial',
  )
  const asked = one.node.changes.length
  await until(() => one.node.changes.length > asked + 1, 'asked on: it was accepted, not reached')
  node.applied = 1
  await until(() => lines.length === 2, 'told once')
  const before = one.node.changes.length
  await new Promise(resolve => setTimeout(resolve, 60))
  t.ok(one.node.changes.length <= before + 1, 'one may have been under way')
  t.same(one.node.changes[0], { kind: 'add', id: 'node3', raftBind: '127.0.0.1:8486', edge: false })
})

t.test('tries the next one, and says why not', async t => {
  const dead = await serve(t)
  const gone = address(dead)
  await dead.http.close()
  const two = await serve(t)
  two.node.outcome = { kind: 'refused', why: 'node3 is a member at a:1' }
  const { lines } = joining(t, [gone, address(two)], { voter: false })
  await until(() => two.node.changes.length >= 2, 'asked')
  t.match(lines[0], /^not joined: 127.0.0.1:\d+ does not answer: connect ECONNREFUSED/)
  t.match(lines[1], /answers 409: node3 is a member at a:1/)
  t.match(two.node.changes[0], { edge: true })
})

t.test(
  'a node that holds something of the log asks nobody; one that ends stops asking',
  async t => {
    const one = await serve(t)
    one.node.outcome = { kind: 'unknown' }
    const { end } = joining(t, [address(one)])
    await until(() => one.node.changes.length > 0, 'asked')
    end()
    const asked = one.node.changes.length
    const member = new SimulatedNode()
    const fed = Object.assign(member, { applied: 1, acquaint: () => {} })
    joining(t, [address(one)], { node: fed })
    await new Promise(resolve => setTimeout(resolve, 60))
    t.ok(one.node.changes.length <= asked + 1)
  },
)
