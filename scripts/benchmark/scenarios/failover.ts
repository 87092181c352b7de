import { setTimeout as sleep } from 'node:timers/promises'
import type { Attempt, Cluster } from '../cluster.ts'
import { askedAt } from './attempts.ts'

/** How often each of the others is asked, ms, whether or not it has answered. */
const EVERY_MS = 20
const PATIENCE_MS = 30_000
/** So long everything runs undisturbed before the leader is killed, ms. */
const CALM_MS = 500
const VALUE = 'x'.repeat(100)

/**
 * From kill -9 of the leader until somebody answers a write with 200, milliseconds; then everyone is started again.
 * Each of the others is asked anew all the time: one that waits for the dead leader keeps nobody from the next try.
 * @throws Error when nobody does in 30 s
 */
export async function measureFailover(cluster: Cluster): Promise<number> {
  await sleep(CALM_MS)
  const leader = await cluster.leader()
  const others = cluster.members().filter(member => member !== leader)
  await leader.end('SIGKILL')
  const beganMs = performance.now()
  const atMs = await firstWrite(others.map(member => member.write(VALUE)))
  leader.startAgain()
  await cluster.ready()
  return atMs - beganMs
}

/** @returns when one was answered 200, as `performance.now()` tells */
async function firstWrite(attempts: readonly Attempt[]): Promise<number> {
  const ended = new AbortController()
  const asked: Promise<number | null>[] = []
  let atMs: number | null = null
  const deadlineMs = performance.now() + PATIENCE_MS
  while (atMs === null) {
    if (performance.now() > deadlineMs)
      throw new Error('nobody wrote within 30 s of the end of the leader')
    for (const attempt of attempts) {
      const answer = askedAt(attempt, ended.signal)
      asked.push(answer)
      void answer.then(when => {
        atMs ??= when
      })
    }
    await sleep(EVERY_MS)
  }
  ended.abort()
  await Promise.all(asked)
  return atMs
}
