import { setTimeout as pause } from 'node:timers/promises'

const LOOK_MS = 10

/** Until nothing is left of them, or `graceMs` are over. */
export async function awaitNone(left: ReadonlySet<unknown>, graceMs: number): Promise<void> {
  const end = performance.now() + graceMs
  while (left.size > 0 && performance.now() < end) await pause(LOOK_MS)
}
