/** Single HTTP requests to servers that may not be there. */

const PATIENCE_MS = 1_000

interface Request {
  readonly method?: string
  readonly body?: string
}

/** The body of a good answer; null when there is none in time. */
export async function askText(url: string, request: Request = {}): Promise<string | null> {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const answer = await fetch(url, { ...request, signal })
    const text = await answer.text()
    return answer.ok ? text : null
  } catch {
    return null
  }
}

/** The same as JSON; null as well where it is none. */
export async function askJson(
  url: string,
  request: Request = {},
): Promise<Readonly<Record<string, unknown>> | null> {
  const text = await askText(url, request)
  try {
    return text === null ? null : (JSON.parse(text) as Record<string, unknown>)
  } catch {
    return null
  }
}
