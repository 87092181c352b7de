import t from 'tap'
import { SystemClock } from '../../src/clock/system-clock.ts'
import { Transfers } from '../../src/node/transfers.ts'
import type { Input } from '../../src/raft/input.ts'
import { asNodeId } from '../../src/raft/types.ts'
import { leader } from '../raft/harness.ts'

const [a, b, c] = [asNodeId('a'), asNodeId('b'), asNodeId('c')]

t.test('a leader that stops hands over to nobody who would refuse', async t => {
  const { raft } = leader()
  const asked: Input[] = []
  const identity = { clusterId: 'test', nodeId: a, incarnation: 'a-1' }
  const options = { identity, clock: new SystemClock(), electionTimeoutMs: 1 }
  const transfers = new Transfers(options, input => asked.push(input))
  for (const distrusted of [[], [b], [c], [b, c]]) {
    const handed = transfers.handOver(raft.state, 60_000, distrusted)
    transfers.abandon()
    await handed
  }
  t.strictSame(
    asked,
    [null, c, b, null].map(to => ({ kind: 'transfer', to })),
  )
})
