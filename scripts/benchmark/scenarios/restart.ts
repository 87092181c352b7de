import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../cluster.ts'
import { askedAt } from './attempts.ts'

const AGAIN_MS = 5
const PATIENCE_MS = 120_000

/** From the start of a follower that has ended until it answers a linearizable read, ms. @throws Error after 2 minutes */
export async function measureRestart(
  cluster: Cluster,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<number> {
  const leader = await cluster.leader()
  const follower = cluster.members().find(member => member !== leader)
  if (follower === undefined) throw new RangeError('nobody follows')
  await follower.end(signal)
  const beganMs = performance.now()
  follower.startAgain()
  const patience = AbortSignal.timeout(PATIENCE_MS)
  for (;;) {
    const answeredMs = await askedAt(follower.read(), patience)
    if (answeredMs !== null) {
      await cluster.ready()
      return answeredMs - beganMs
    }
    if (patience.aborted) throw new Error('no linearizable read within 2 minutes of a restart')
    await sleep(AGAIN_MS)
  }
}
