import type { LogPosition } from '../../raft/types.ts'

/** What a machine answers to a query, and as of which entry. */
export interface PlugInAnswer {
  readonly applied: LogPosition
  readonly value: Uint8Array
}

/** Hono, or whatever else answers a Request. */
export interface WebApp {
  fetch(request: Request): Response | Promise<Response>
}

/**
 * Makes the app that is mounted under `/fsm/<name>/`: it sees paths without that prefix. GET and HEAD, and
 * a POST whose path ends in `/query`, are answered by the node that the client reached; everything else
 * is led to the leader by the gateway.
 */
export type Routes = (host: MachineHost) => WebApp

/** What an app under `/fsm/<name>/` may ask of its node. */
export interface MachineHost {
  /**
   * Puts a command into the log and gives what `apply` returned for it here, once a majority has it. A
   * request with an `Idempotency-Key` takes effect once, however often it is sent.
   * @throws Unserved when it was refused, nobody leads, or its fate is not known; unhandled, Hono answers with it
   */
  propose(request: Request, command: Uint8Array): Promise<Uint8Array<ArrayBuffer>>
  /**
   * Reads this node's own machine: a committed prefix. With `?consistent` in the request the answer is
   * linearizable, with `X-Raft-Min-Index` it shows at least that entry.
   * @throws Unserved when that cannot be had in time
   */
  query(request: Request, query: Uint8Array): Promise<Uint8Array<ArrayBuffer>>
  status(): HostStatus
}

export interface HostStatus {
  readonly node: string
  /** Null while nobody leads, as far as is known here. */
  readonly leader: string | null
  readonly appliedIndex: number
}

/** Why a request cannot be served. Hono answers with `getResponse()` where a route does not catch it. */
export class Unserved extends Error {
  override readonly name = 'Unserved'
  readonly status: number
  /** As in the answer's `code`: of the machine, where it refused the command. */
  readonly code: string
  readonly #respond: () => Response

  constructor(
    problem: { readonly status: number; readonly code: string; readonly detail: string },
    respond: () => Response,
  ) {
    super(problem.detail)
    this.status = problem.status
    this.code = problem.code
    this.#respond = respond
  }

  getResponse(): Response {
    return this.#respond()
  }
}
