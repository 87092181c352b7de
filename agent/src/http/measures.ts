import { Histogram } from '../lib/histogram.ts'

/** Requests of one route by one method. */
export interface RouteMeasures {
  readonly route: string
  readonly method: string
  /** from the whole head to the end of the answer */
  readonly seconds: Histogram
  /** how many answers had each status */
  readonly codes: ReadonlyMap<number, number>
}

type Kept = RouteMeasures & { readonly codes: Map<number, number> }

/** nginx's word for it: the client left before it was answered. */
export const CLIENT_LEFT = 499
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE'])

/**
 * Counts requests. Everything a client can choose has few values here, so that nobody can fill memory
 * with names of routes or methods.
 */
export class HttpMeasures {
  /** requests that have begun and not ended */
  inFlight = 0
  /** open connections of all listeners */
  connections = 0
  /** that were closed at once, since a listener had its fill */
  connectionsRefused = 0
  /** by route, then by method: no name is put together for each request */
  readonly #routes = new Map<string, Map<string, Kept>>()

  get routes(): readonly RouteMeasures[] {
    return [...this.#routes.values()].flatMap(methods => [...methods.values()])
  }

  /** @param route one of a fixed list, never a client's path */
  ended(route: string, given: string, { code, seconds }: { code: number; seconds: number }): void {
    this.#answered(route, given, code).seconds.observe(seconds)
  }

  /** No well-formed request, so that nobody knows when it began. */
  malformed(code: number): void {
    this.#answered('malformed', '', code)
  }

  #answered(route: string, given: string, code: number): Kept {
    const method = METHODS.has(given) ? given : 'other'
    let methods = this.#routes.get(route)
    if (methods === undefined) {
      methods = new Map()
      this.#routes.set(route, methods)
    }
    let measures = methods.get(method)
    if (measures === undefined) {
      measures = { route, method, seconds: new Histogram(), codes: new Map() }
      methods.set(method, measures)
    }
    measures.codes.set(code, (measures.codes.get(code) ?? 0) + 1)
    return measures
  }
}
