import type { Attempt } from '../cluster.ts'

/** @returns when it was answered 200, as `performance.now()` tells; null when it was not, or the answer came too late */
export async function askedAt(
  { url, ...request }: Attempt,
  signal: AbortSignal,
): Promise<number | null> {
  try {
    const answer = await fetch(url, { ...request, signal })
    const when = answer.status === 200 ? performance.now() : null
    await answer.arrayBuffer()
    return when
  } catch {
    return null
  }
}
