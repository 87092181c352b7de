import t from 'tap'
import { Counters } from '../../src/node/measures.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { eventually, InProcessCluster } from './in-process-cluster.ts'

const A = asNodeId('a')
const B = asNodeId('b')
const follower = { kind: 'follower' } as const
const candidate = (preVote: boolean) =>
  ({ kind: 'candidate', preVote, granted: new Set([A]) }) as const

t.test(
  'asking whether one could win is no election; the same leader again is no change',
  async t => {
    const counters = new Counters()
    counters.changed(candidate(true), null)
    counters.changed(candidate(false), null)
    counters.changed(follower, A)
    counters.changed(follower, null)
    counters.changed(follower, A)
    counters.changed(follower, B)
    t.match(counters.view(), { campaigns: 1, leaderChanges: 2 })
  },
)

t.test(
  'a cluster at work: writes and batches are timed, queues empty, a cut-off peer lags',
  async t => {
    const cluster = await InProcessCluster.start(3)
    t.teardown(() => cluster.stop())
    const leader = await cluster.leader()
    await cluster.identified()
    const write = (text: string) => leader.node.propose(Buffer.from(text))
    await write('one')
    const { node } = leader
    t.equal(node.measures().campaigns, 1)
    t.equal(node.measures().leaderChanges, 1)
    const timed = () => {
      const { persistSeconds, applySeconds } = node.measures()
      return [persistSeconds, applySeconds].map(each => each.view().buckets.at(-1)?.count ?? 0)
    }
    const [persists = 0, applies = 0] = timed()
    t.ok(persists > 0 && applies > 0)
    await write('two')
    const [later = 0, appliesLater = 0] = timed()
    t.ok(later > persists && appliesLater > applies, 'each write counts')
    const kinds = ['proposals', 'uncommitted', 'reads', 'indexes', 'persists']
    t.strictSame(Object.keys(node.measures().waiting), kinds)
    // Now and then the node reads itself, to prove how fresh it is.
    await eventually(
      'nothing waits',
      () => Object.values(node.measures().waiting).every(waiting => waiting === 0) || undefined,
    )
    const peers = cluster.replicas.map(({ id }) => id).filter(id => id !== leader.id)
    await eventually('no peer lags', () =>
      node.measures().peers.every(({ lag }) => lag === 0) ? true : undefined,
    )
    t.strictSame(
      node
        .measures()
        .peers.map(({ peer }) => peer)
        .sort(),
      peers,
    )

    const [cut = A] = peers
    cluster.network.isolate(cut)
    await write('three')
    t.match(
      node.measures().peers.find(({ peer }) => peer === cut),
      { lag: 1 },
    )
    const other = cluster.replicas.find(({ id }) => id !== leader.id)
    t.strictSame(other?.node.measures().peers, [], 'only the leader knows')
    const waiting = [node.waitApplied(node.status().lastIndex, 1), write('four'), write('five')]
    t.equal(node.measures().waiting.proposals, 2)
    await Promise.all(waiting)
  },
)
