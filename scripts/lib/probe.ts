/** One question by HTTP whose answer may not come. */

export interface Answer {
  readonly status: number
  readonly body: string
}

const TIMEOUT_MS = 1_000

export interface Probe {
  readonly method?: string
  readonly body?: string
  readonly timeoutMs?: number
}

/** Null when nobody answers in time. */
export async function probe(
  url: string,
  { timeoutMs = TIMEOUT_MS, ...init }: Probe = {},
): Promise<Answer | null> {
  try {
    const headers = { Connection: 'close' }
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs), headers })
    return { status: answer.status, body: await answer.text() }
  } catch {
    return null
  }
}
