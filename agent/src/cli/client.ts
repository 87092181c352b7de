import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, ask, type Endpoint, Lost, parseEndpoint, type Request } from './endpoint.ts'
import { CommandError, EXIT } from './exit.ts'

export interface ClientOptions {
  /** tried in turn */
  readonly endpoints: readonly Endpoint[]
  /** after this long no more is tried, ms */
  readonly timeoutMs: number
}

/** What was asked, and whether asking again can do harm. */
export interface Ask extends Request {
  /** it takes effect once however often it is sent: a read, a key to tell repetitions by, or a thing that is so or not */
  readonly repeatable: boolean
}

/** Why an endpoint did not settle a request. */
interface Unsettled {
  readonly endpoint: string
  readonly why: string
  /** it may have happened all the same */
  readonly unknown: boolean
  /** nobody listens there: asking again at once is no use */
  readonly absent: boolean
}

const PAUSE_MS = 200
/** With less than this left, asking once more would only end with no answer, ms. */
const ATTEMPT_MS = 300
const HOPS_MAX = 3

/** Asks one endpoint after the other, follows a redirection or a leader, and repeats what may be repeated. */
export class Client {
  readonly endpoints: readonly Endpoint[]
  /** null: none is sent */
  readonly token: string | null
  readonly #timeoutMs: number

  constructor({ endpoints, timeoutMs }: ClientOptions) {
    this.endpoints = endpoints
    this.token = endpoints[0]?.token ?? null
    this.#timeoutMs = timeoutMs
  }

  /**
   * An answer that settles the request, whatever its status: not 421, 502, 503 or 504.
   * @throws CommandError with exit status 3 when there is none in time
   */
  async send(request: Ask): Promise<Answer> {
    const deadline = performance.now() + this.#timeoutMs
    for (;;) {
      const found: Unsettled[] = []
      for (const endpoint of this.endpoints) {
        const result = await this.#try(endpoint, request, deadline)
        if ('status' in result) return result
        found.push(result)
        if (result.unknown && !request.repeatable) throw unsettled(found)
      }
      const given = found.every(({ absent }) => absent)
      if (given || request.signal?.aborted || performance.now() + PAUSE_MS + ATTEMPT_MS > deadline)
        throw unsettled(found)
      await sleep(PAUSE_MS)
    }
  }

  /** `send`, where anything but 2xx is a failure in the answer's own words. */
  async expect(request: Ask): Promise<Answer> {
    const answer = await this.send(request)
    if (answer.status >= 200 && answer.status < 300) return answer
    throw refusal(answer)
  }

  async #try(first: Endpoint, request: Ask, deadline: number): Promise<Answer | Unsettled> {
    let endpoint = first
    let path = request.path
    for (let hops = 0; ; hops++) {
      const left = deadline - performance.now()
      const result = await attempt(endpoint, { ...request, path }, left)
      if (!('status' in result)) return result
      if (result.status !== 421 && result.status !== 307) return settledBy(endpoint, result)
      const next =
        result.status === 307
          ? located(result, endpoint)
          : await leaderOf(endpoint, path, left).catch(lost)
      if (next === null || hops === HOPS_MAX) {
        const why = 'another node leads, and it is not known where it is'
        return { endpoint: endpoint.name, why, unknown: false, absent: false }
      }
      endpoint = next.endpoint
      path = next.path
    }
  }
}

/** What an answer that is none of success says, as an error with exit status 1. */
export function refusal(answer: Answer): CommandError {
  const problem = problemOf(answer)
  const { status } = answer
  const words = problem.detail === '' ? `HTTP ${status}` : problem.detail
  return new CommandError(EXIT.failed, words, { status, code: problem.code })
}

interface Place {
  readonly endpoint: Endpoint
  readonly path: string
}

async function attempt(
  endpoint: Endpoint,
  request: Request,
  timeoutMs: number,
): Promise<Answer | Unsettled> {
  try {
    return await ask(endpoint, request, timeoutMs)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const sent = error instanceof Lost
    return { endpoint: endpoint.name, why, unknown: sent, absent: !sent }
  }
}

function settledBy(endpoint: Endpoint, answer: Answer): Answer | Unsettled {
  const { status } = answer
  if (status !== 502 && status !== 503 && status !== 504) return answer
  const { code, detail } = problemOf(answer)
  const why = detail === '' ? `HTTP ${status}` : detail
  // What says so itself did not happen; a bare 502 or 504 of a gateway says nothing.
  const unknown = status !== 503 && code !== 'MIN_INDEX_NOT_REACHED'
  return { endpoint: endpoint.name, why, unknown, absent: false }
}

/** `{"detail","code"}` of a problem, or the words of a plain text. */
function problemOf({ headers, body }: Answer): { code: string; detail: string } {
  const type = headers['content-type'] ?? ''
  const text = body.toString('utf8').trim()
  if (!type.includes('json')) return { code: '', detail: type.includes('html') ? '' : text }
  try {
    const { code, detail } = JSON.parse(text) as { code?: unknown; detail?: unknown }
    return { code: String(code ?? ''), detail: String(detail ?? '') }
  } catch {
    return { code: '', detail: text }
  }
}

function located({ headers }: Answer, { token }: Endpoint): Place | null {
  const { location } = headers
  if (location === undefined || !URL.canParse(location)) return null
  const { origin, pathname, search } = new URL(location)
  return { endpoint: parseEndpoint(origin, token), path: pathname + search }
}

/** Null while none is known. @throws NotReached | Lost */
async function leaderOf(
  endpoint: Endpoint,
  path: string,
  timeoutMs: number,
): Promise<Place | null> {
  const answer = await ask(endpoint, { method: 'GET', path: '/status?brief=1' }, timeoutMs)
  const { leader } = JSON.parse(answer.body.toString('utf8')) as {
    leader: { http: string } | null
  }
  return leader === null || leader.http === ''
    ? null
    : { endpoint: parseEndpoint(leader.http, endpoint.token), path }
}

function lost(): null {
  return null
}

function unsettled(found: readonly Unsettled[]): CommandError {
  const lines = found.map(({ endpoint, why }) => `${endpoint}: ${why}`)
  const unknown = found.some(({ unknown }) => unknown)
  const tail = unknown ? '\nit is not known whether this has happened, or still will' : ''
  return new CommandError(EXIT.unsettled, lines.join('\n') + tail, null)
}
