import t from 'tap'
import { Exclusion } from '../../src/node/exclusion.ts'
import { Membership } from '../../src/node/membership.ts'
import type { Configuration, MembershipChange } from '../../src/raft/configuration.ts'
import { initialConfiguration, NO_CONFIGURATION } from '../../src/raft/configuration.ts'
import { asLogIndex, asNodeId } from '../../src/raft/types.ts'
import type { PeerLink, Membership as Told, Transport } from '../../src/transport/transport.ts'
import { follower } from '../raft/harness.ts'

const address = (id: string) => {
  return { id: asNodeId(id), address: `${id}:1`, raftBind: `${id}:2`, gateway: null }
}
const FOUNDERS = ['a', 'b', 'c'].map(address)

/** Of these members, each with the incarnation given; '' where nobody knows. */
function configuration(members: Readonly<Record<string, string>>): Configuration {
  const { outgoing, members: rows } = initialConfiguration(Object.keys(members).map(address))
  return { outgoing, members: rows.map(row => ({ ...row, incarnation: members[row.id] ?? '' })) }
}

function started(at: Configuration, { joins = false } = {}) {
  const told: Told[] = []
  const links: PeerLink[] = []
  const transport = {
    setMembership: (membership: Told) => told.push(membership),
    links: () => links,
  } as Partial<Transport> as Transport
  const { id, ...contact } = address('a')
  const membership = new Membership({
    identity: { clusterId: 'test', nodeId: id, incarnation: 'a-1' },
    contact,
    founders: joins ? null : FOUNDERS,
    transport,
  })
  membership.start(at)
  const last = () => {
    const { members = [], open, left } = told.at(-1) ?? {}
    return {
      ids: members.map(member => member.id).join(''),
      open,
      left: [...(left ?? [])].join(''),
    }
  }
  return { membership, told, links, last, transport }
}

t.test('the transport hears of a change once it is the present, not on the way there', async t => {
  const { membership, told, last } = started(initialConfiguration(FOUNDERS))
  t.strictSame(last(), { ids: 'abc', open: true, left: '' })
  membership.applied([configuration({ a: 'a-1', b: 'b-1' })])
  membership.applied([configuration({ a: 'a-1', b: 'b-1', c: 'c-2' })])
  t.equal(told.length, 1)
  t.equal(membership.members.find(({ id }) => id === 'c')?.identified, true, 'status shows it')
  membership.setCurrent(true)
  membership.setCurrent(true)
  t.equal(told.length, 2)
  t.strictSame(last(), { ids: 'abc', open: false, left: 'c' }, 'c is back, as somebody new')
  membership.applied([configuration({ a: 'a-1', b: 'b-1' })])
  t.strictSame(last(), { ids: 'ab', open: false, left: 'c' })
  membership.setCurrent(false)
  t.strictSame(last(), { ids: 'ab', open: true, left: '' }, 'another may lead by now')
})

t.test('a list that does not name this very node shuts out nobody', async t => {
  const { membership, last } = started(NO_CONFIGURATION, { joins: true })
  t.strictSame(last(), { ids: '', open: true, left: '' })
  membership.acquaint([{ id: asNodeId('b'), raftBind: 'b:2' }])
  t.strictSame(last(), { ids: 'b', open: true, left: '' }, 'calls those who let it join')
  for (const former of [
    { b: 'b-1', c: '' },
    { a: 'a-0', b: 'b-1' },
    { a: '', b: 'b-1' },
  ]) {
    membership.applied([configuration(former)])
    membership.setCurrent(true)
    t.match(last(), { ids: 'b', open: true }, JSON.stringify(former))
    membership.setCurrent(false)
  }
  membership.applied([configuration({ a: 'a-1', b: 'b-1' })])
  membership.setCurrent(true)
  t.match(last(), { ids: 'ab', open: false })
})

t.test('a leader records what it learnt, one by one, and never of who left since', async t => {
  const { membership } = started(initialConfiguration(FOUNDERS))
  const asked: MembershipChange[] = []
  let answer = (): void => {}
  const change = (wanted: MembershipChange) => {
    asked.push(wanted)
    return new Promise<void>(resolve => {
      answer = resolve
    })
  }
  const next = async () => {
    answer()
    await new Promise(resolve => setImmediate(resolve))
    membership.introduce(change)
    return asked.at(-1)
  }
  t.match(await next(), { kind: 'identify', id: 'a', incarnation: 'a-1', address: 'a:1' }, 'itself')
  membership.introduce(change)
  t.equal(asked.length, 1, 'one at a time')
  membership.applied([configuration({ a: 'a-1', b: '', c: 'c-1' })])
  await next()
  t.equal(asked.length, 1, 'nobody was met')
  membership.met({ ...address('b'), incarnation: 'b-1' })
  membership.met({ ...address('c'), incarnation: 'c-1', gateway: 'http://c' })
  t.match(await next(), { id: 'b', incarnation: 'b-1' })
  membership.applied([configuration({ a: 'a-1', b: 'b-1', c: 'c-1' })])
  t.match(await next(), { id: 'c', gateway: 'http://c' }, 'what has changed')
  membership.applied([
    configuration({ a: 'a-1', b: 'b-1' }),
    configuration({ a: 'a-1', b: 'b-1', c: '' }),
  ])
  await next()
  t.equal(asked.length, 3, 'the former c says nothing of the present one')
})

t.test(
  'a former member that called as a guest says nothing of who comes under its name',
  async t => {
    const { membership } = started(configuration({ a: 'a-1', b: 'b-1', c: 'c-1' }))
    const asked: MembershipChange[] = []
    membership.setCurrent(true)
    membership.applied([configuration({ a: 'a-1', b: 'b-1' })])
    membership.setCurrent(false)
    // The leader has died: until the next one is known, c may be the one that leads by now.
    membership.met({ ...address('c'), incarnation: 'c-1' })
    membership.setCurrent(true)
    membership.applied([configuration({ a: 'a-1', b: 'b-1', c: '' })])
    membership.introduce(async change => asked.push(change))
    t.strictSame(asked, [])
    membership.met({ ...address('c'), incarnation: 'c-2' })
    membership.introduce(async change => asked.push(change))
    t.match(asked, [{ kind: 'identify', id: 'c', incarnation: 'c-2' }])
  },
)

t.test('a wiped node that a peer knows as another is kept out until it is let in', async t => {
  const { links, transport } = started(initialConfiguration(FOUNDERS))
  const { state } = follower({}).raft
  const link = { peer: asNodeId('b'), connected: false, lastError: 'refused', refused: true }
  const exclusion = new Exclusion(transport)
  exclusion.start(true)
  t.notOk(exclusion.holds(state))
  links.push({ ...link, stranger: false })
  t.notOk(exclusion.holds(state), 'refused for another reason')
  links[0] = { ...link, stranger: true }
  t.ok(exclusion.holds(state))
  links[0] = { ...link, connected: true, refused: false, stranger: false }
  t.notOk(exclusion.holds(state))
  t.notOk(exclusion.holds({ ...state, commit: asLogIndex(1) }))
  links[0] = { ...link, stranger: true }
  t.notOk(exclusion.holds(state), 'it has something of the cluster: it is none that was wiped')
})
