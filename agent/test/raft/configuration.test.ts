import fc from 'fast-check'
import t from 'tap'
import { DecodeError } from '../../src/lib/bytes.ts'
import {
  type Configuration,
  decodeConfiguration,
  encodeConfiguration,
  isJoint,
  isVoter,
  type Member,
  type MemberRole,
  type MembershipChange,
  NO_CONFIGURATION,
  planChange,
  votersOf,
} from '../../src/raft/configuration.ts'
import { asNodeId, type NodeId } from '../../src/raft/types.ts'
import { showConfiguration } from './show.ts'

const { SEED } = process.env
const seed = Number(SEED ?? Date.now() % 2 ** 31)
t.comment(`SEED=${seed}`)

const id = asNodeId
const member = (name: string, role: MemberRole = 'voter', incarnation = `i-${name}`): Member => ({
  id: id(name),
  role,
  incarnation,
  address: '',
  raftBind: `${name}:7000`,
  gateway: null,
})
const of = (...members: Member[]): Configuration => ({ members, outgoing: [] })
const abc = of(member('a'), member('b'), member('c'))

/** The configuration afterwards, or what was said instead. */
function plan(configuration: Configuration, change: MembershipChange): string {
  const planned = planChange(configuration, change)
  if (planned.kind === 'changed') return showConfiguration(planned.configuration)
  return planned.kind === 'same' ? 'same' : planned.why
}

function planned(configuration: Configuration, change: MembershipChange): Configuration {
  const result = planChange(configuration, change)
  if (result.kind !== 'changed') throw new Error(`${change.kind} changes nothing`)
  return result.configuration
}

const add = (name: string, edge = false, raftBind = `${name}:7000`): MembershipChange => ({
  kind: 'add',
  id: id(name),
  raftBind,
  edge,
})

t.test('add: a learner or an edge, in the order of ids; asked again, nothing is to do', async t => {
  t.equal(plan(abc, add('bb')), 'a b bb+ c')
  t.equal(plan(abc, add('d', true)), 'a b c d.')
  t.equal(plan(NO_CONFIGURATION, add('d')), 'this node belongs to no cluster')
  t.equal(plan(abc, add('b')), 'same', 'a learner that was promoted since')
  t.equal(plan(planned(abc, add('d')), add('d')), 'same')
  t.equal(plan(abc, add('b', true)), 'b is a member as voter')
  t.equal(plan(of(member('a'), member('d', 'edge')), add('d')), 'd is a member as edge')
  t.equal(plan(abc, add('b', false, 'else:1')), 'b is a member at b:7000')
  t.equal(plan(abc, add('d', false, 'b:7000')), 'b:7000 belongs to b')
})

t.test('remove: one at a time, and never the last voter', async t => {
  t.equal(plan(abc, { kind: 'remove', id: id('b') }), 'a c')
  t.equal(plan(abc, { kind: 'remove', id: id('z') }), 'same')
  const disk = (incarnation: string) => ({ kind: 'remove' as const, id: id('b'), incarnation })
  t.equal(plan(abc, disk('i-b')), 'a c')
  t.equal(plan(abc, disk('i-b-before')), 'same', 'another disk has come under its name since')
  const unknown = of(member('a'), member('b', 'voter', ''))
  t.equal(plan(unknown, disk('i-b')), 'the cluster has not recorded whose data directory b has')
  const last = of(member('a'), member('d', 'learner'))
  t.equal(plan(last, { kind: 'remove', id: id('a') }), 'a is the last voter')
  t.equal(plan(last, { kind: 'remove', id: id('d') }), 'a')
})

t.test('promote: a learner that connected; an edge never', async t => {
  const all = of(
    member('a'),
    member('d', 'learner'),
    member('e', 'edge'),
    member('f', 'learner', ''),
  )
  t.equal(plan(all, { kind: 'promote', id: id('d') }), 'a d e. f+')
  t.equal(plan(all, { kind: 'promote', id: id('a') }), 'same')
  t.equal(plan(all, { kind: 'promote', id: id('e') }), 'e is an edge: it never votes')
  t.equal(plan(all, { kind: 'promote', id: id('f') }), 'f has not connected yet')
  t.equal(plan(all, { kind: 'promote', id: id('z') }), 'z is not a member')
})

t.test('B17 identify: learnt once, and never replaced by another incarnation', async t => {
  const start = of(member('a'), member('d', 'learner', ''))
  const identify = { kind: 'identify', id: id('d'), address: 'd:80', gateway: 'd:8080' } as const
  const known = planned(start, { ...identify, incarnation: 'first' })
  t.match(known.members[1], { incarnation: 'first', address: 'd:80', gateway: 'd:8080' })
  t.equal(plan(known, { ...identify, incarnation: 'first' }), 'same')
  const moved = planned(known, { ...identify, incarnation: 'first', address: 'd:81' })
  t.equal(moved.members[1]?.address, 'd:81')
  t.equal(
    plan(known, { ...identify, incarnation: 'second' }),
    'd is known under another incarnation',
  )
  t.equal(plan(start, { ...identify, id: id('z'), incarnation: 'x' }), 'z is not a member')
})

t.test('reconfigure: one directly, several through both halves, left in one step', async t => {
  const start = of(...abc.members, member('d', 'learner'), member('e', 'learner'))
  const to = (names: string): MembershipChange => ({
    kind: 'reconfigure',
    voters: [...names].map(id),
  })
  t.equal(plan(start, to('abc')), 'same')
  t.equal(plan(start, to('abcd')), 'a b c d e+')
  t.equal(plan(start, to('ab')), 'a b d+ e+')
  const joint = planned(start, to('ade'))
  t.equal(showConfiguration(joint), 'a b- c- d e (a b c)')
  t.ok(isJoint(joint) && isVoter(joint, id('b')) && isVoter(joint, id('d')))
  t.strictSame(votersOf(joint), ['a', 'd', 'e'])
  t.equal(plan(joint, { kind: 'leave-joint' }), 'a d e')
  t.equal(plan(start, { kind: 'leave-joint' }), 'same')
  t.equal(plan(start, to('')), 'nobody would vote')
  t.equal(plan(start, to('az')), 'z is not a member')
  for (const change of [to('abc'), add('z'), { kind: 'remove', id: id('a') } as const]) {
    t.equal(plan(joint, change), 'an earlier change is not complete', 'B11 one at a time')
  }
  const identify = { kind: 'identify', id: id('e'), incarnation: 'i-e', address: 'e:80' } as const
  t.equal(plan(joint, { ...identify, gateway: null }), 'a b- c- d e (a b c)')
})

const name = fc.constantFrom(...[...'abcdef'].map(id))
const anyChange: fc.Arbitrary<MembershipChange> = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    id: name,
    raftBind: fc.constantFrom('x:1', 'y:1', 'z:1', 'u:1', 'v:1', 'w:1'),
    edge: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('remove' as const, 'promote' as const), id: name }),
  fc.record({
    kind: fc.constant('identify' as const),
    id: name,
    incarnation: fc.constantFrom('first', 'second'),
    address: fc.constantFrom('', 'h:1'),
    gateway: fc.constantFrom(null, 'g:1'),
  }),
  fc.record({
    kind: fc.constant('reconfigure' as const),
    voters: fc.array(name, { maxLength: 6 }),
  }),
  fc.record({ kind: fc.constant('leave-joint' as const) }),
)

/** Every set of voters that decides alone in this configuration. */
function quorums(configuration: Configuration): Set<NodeId>[] {
  const ids = [...'abcdef'].map(id)
  const decides = (voters: readonly NodeId[], some: ReadonlySet<NodeId>): boolean =>
    voters.filter(voter => some.has(voter)).length * 2 > voters.length
  return Array.from({ length: 2 ** ids.length }, (_, bits) => {
    return new Set(ids.filter((_, at) => bits & (1 << at)))
  }).filter(some => {
    const { outgoing } = configuration
    return (
      decides(votersOf(configuration), some) && (outgoing.length === 0 || decides(outgoing, some))
    )
  })
}

t.test(
  '§6 any quorum before a change and any after it share a voter; codec keeps all',
  async () => {
    fc.assert(
      fc.property(fc.array(anyChange, { maxLength: 40 }), changes => {
        let configuration = abc
        for (const change of changes) {
          const plan = planChange(configuration, change)
          if (plan.kind !== 'changed') continue
          const after = plan.configuration
          const decoded = decodeConfiguration(encodeConfiguration(after))
          if (JSON.stringify(decoded) !== JSON.stringify(after)) return false
          if (!meet(quorums(configuration), quorums(after))) return false
          configuration = after
        }
        return true
      }),
      { seed, numRuns: 60 },
    )
  },
)

function meet(before: readonly Set<NodeId>[], after: readonly Set<NodeId>[]): boolean {
  if (before.length === 0 || after.length === 0) return false
  return before.every(one => after.every(other => [...one].some(voter => other.has(voter))))
}

t.test('no bytes stand for no configuration', async t => {
  t.equal(encodeConfiguration(NO_CONFIGURATION).length, 0)
  t.strictSame(decodeConfiguration(new Uint8Array(0)), NO_CONFIGURATION)
})

t.test('damaged bytes give a DecodeError, or a configuration that keeps the rules', async () => {
  const whole = encodeConfiguration({
    members: [member('a'), member('b', 'leaving'), member('c', 'learner', ''), member('d', 'edge')],
    outgoing: [id('a'), id('b')],
  })
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(), (at, mask, keep) => {
      const bytes = whole.slice(0, whole.length - (keep % 3 === 0 ? keep % whole.length : 0))
      if (bytes.length === 0) return true
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ mask
      try {
        const found = decodeConfiguration(bytes)
        return votersOf(found).length > 0 && encodeConfiguration(found).length === bytes.length
      } catch (error) {
        return error instanceof DecodeError
      }
    }),
    { seed, numRuns: 2_000 },
  )
})

t.test('what no leader writes is not read', async t => {
  const refused = (configuration: Configuration, words: RegExp): void => {
    const bytes = encodeConfiguration(configuration)
    t.throws(() => decodeConfiguration(bytes), { name: 'DecodeError', message: words })
  }
  refused(of(member('b'), member('a')), /once and in order/)
  refused(of(member('a'), member('a')), /once and in order/)
  refused(of(member('a', 'learner')), /has a voter/)
  refused(of(member('a'), member('b', 'leaving')), /voters leave/)
  refused({ members: [member('a')], outgoing: [id('a'), id('b')] }, /as members/)
  const counts = encodeConfiguration(abc)
  counts.set([255, 255, 255, 255], 1)
  t.throws(() => decodeConfiguration(counts), /not their bytes/)
})
