/** One question by HTTP whose answer may not come. */

export interface Answer {
  readonly status: number
  readonly body: string
}

const TIMEOUT_MS = 1_000

export interface Probe {
  readonly method?: string
  readonly body?: string
  readonly timeoutMs: number
}

/** Null when nobody answers in time. */
export async function probe(
  url: string,
  { timeoutMs = TIMEOUT_MS, ...init }: Partial<Probe> = {},
): Promise<Answer | null> {
  return ask(url, { timeoutMs, ...init }).catch(() => null)
}

/** @throws Error when nobody answers in time */
export async function ask(url: string, { timeoutMs, ...init }: Probe): Promise<Answer> {
  const headers = { Connection: 'close' }
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs), headers })
  return { status: answer.status, body: await answer.text() }
}
