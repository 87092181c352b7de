import t from 'tap'
import { Cluster } from './cluster.ts'
import { entriesOf } from './entries.ts'
import { showEntry } from './show.ts'

const LEADER = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]

const FIGURE_7 = {
  a: { log: [1, 1, 1, 4, 4, 5, 5, 6, 6], probes: 1 },
  b: { log: [1, 1, 1, 4], probes: 1 },
  c: { log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], probes: 0 },
  d: { log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], probes: 0 },
  e: { log: [1, 1, 1, 4, 4, 4, 4], probes: 1 },
  f: { log: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], probes: 1 },
} as const

for (const [name, { log, probes }] of Object.entries(FIGURE_7)) {
  t.test(`Figure 7 (${name}) is repaired with at most one probe a term`, async t => {
    // The leader of term 8 wins with the vote of z, which has an equal log.
    const cluster = new Cluster({
      a: { log: LEADER, term: 7 },
      b: { log, term: 7 },
      z: { log: LEADER, term: 7 },
    })
    cluster.cut('a', 'b')
    cluster.elect('a')
    cluster.heal()
    cluster.tick('a', 2)
    // The first probe was lost; the answer to a heartbeat asks for the next one.
    let refused = 0
    for (let quiet = false; !quiet; ) {
      cluster.fsync('a')
      cluster.fsync('b')
      refused += cluster.deliver(/refuse/).length
      const moved = cluster.deliver(/a→b|b→a/).length
      if (cluster.node('a').loads.length > 0) cluster.node('a').load()
      cluster.tick('z', 0)
      quiet = moved === 0 && !cluster.wire.some(({ to }) => to === 'b')
    }
    cluster.settle()
    const repaired = [...entriesOf(LEADER).map(showEntry), '11@8*'].join(' ')
    t.strictSame(cluster.logs(), { a: repaired, b: repaired, z: repaired })
    t.equal(refused, probes, 'refusals')
  })
}

/**
 * Figure 8 (c): e led term 3 and crashed; a leads term 4. Its entry of term 2 is on a, b and c,
 * its entry of term 4 on a and b only. An entry a message.
 */
function figure8(): Cluster {
  const cluster = new Cluster(
    {
      a: { log: [1, 2], term: 3, commit: 1 },
      b: { log: [1, 2], term: 3, commit: 1 },
      c: { log: [1], term: 3, vote: 'e', commit: 1 },
      d: { log: [1], term: 3, vote: 'e', commit: 1 },
      e: { log: [1, 3], term: 3, vote: 'e', commit: 1 },
    },
    { messageBytesMax: 1 },
  )
  cluster.crash('e')
  cluster.isolate('d')
  cluster.slowDisk('c')
  cluster.impatient('a')
  cluster.deliver(/vote/)
  cluster.deliver(/vote/)
  for (const name of ['a', 'b', 'c', 'd']) cluster.fsync(name)
  cluster.deliver(/vote\?/)
  for (const name of ['b', 'c', 'd']) cluster.fsync(name)
  cluster.settle()
  cluster.fsync('c')
  cluster.deliver(/c→a match t4 2/)
  cluster.drop(/./)
  return cluster
}

t.test(
  'Figure 8 (c), §5.4.2: an entry of an earlier term is not committed by counting',
  async t => {
    const cluster = figure8()
    t.equal(cluster.leader, 'a')
    t.strictSame(cluster.logs(), {
      a: '1@1 2@2 3@4*',
      b: '1@1 2@2 3@4*',
      c: '1@1 2@2',
      d: '1@1',
      e: '1@1 2@3',
    })
    const { role, commit } = cluster.node('a').raft.state
    const matches =
      role.kind === 'leader' ? [...role.progress.values()].map(({ match }) => match) : []
    t.strictSame(matches, [3, 2, 0, 0])
    t.equal(commit, 1)
  },
)

t.test('Figure 8 (d): so a leader of term 5 may still replace it', async t => {
  const cluster = figure8()
  cluster.fastDisk('c')
  cluster.heal()
  cluster.crash('a')
  cluster.crash('b')
  cluster.restart('e')
  cluster.campaign('e')
  cluster.settle()
  t.equal(cluster.term('e'), 4, 'a refusal names the term it missed')
  cluster.elect('e')
  cluster.restart('a')
  cluster.restart('b')
  cluster.run(10)
  t.equal(cluster.node('e').raft.state.commit, 3)
  for (const log of Object.values(cluster.logs())) t.equal(log, '1@1 2@3 3@5*')
})

t.test(
  'Figure 8 (e): once an entry of term 4 is on a majority, both are committed for good',
  async t => {
    const cluster = figure8()
    cluster.fastDisk('c')
    cluster.tick('a', 2)
    cluster.settle()
    t.equal(cluster.node('a').raft.state.commit, 3)
    cluster.heal()
    cluster.crash('a')
    cluster.restart('e')
    for (let attempts = 0; attempts < 3; attempts++) {
      cluster.campaign('e')
      cluster.settle()
    }
    t.equal(cluster.leader, null, 'b and c refuse the shorter log')
    cluster.elect('c')
    cluster.run(10)
    t.match(cluster.node('e').log(), /^1@1 2@2 3@4\*/)
  },
)
