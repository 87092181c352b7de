/** What the bench asks of its load generator, and what it gets back; both travel between processes. */

/** `mixed`: one write after nine reads. */
export type Load = 'writes' | 'reads' | 'mixed'

/** How much a read asks for: see loads.ts. */
export type Freshness = 'linearizable' | 'local' | 'edge'

/** Whose requests are spoken. */
export type Dialect = 'raft-nginx' | 'etcd-v2' | 'etcd-grpc' | 'consul' | 'hraftd' | 'redis'

export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** How long a job runs: each key once, or for a time of which the first part does not count. */
export type Extent =
  | { readonly kind: 'each-key-once' }
  | { readonly kind: 'timed'; readonly warmUpMs: number; readonly measureMs: number }

export interface Job {
  readonly load: Load
  readonly dialect: Dialect
  readonly endpoint: Endpoint
  /** requests in flight, never more than one a stream (gRPC) or, unless pipelined, a connection (HTTP/1.1) */
  readonly concurrency: number
  readonly extent: Extent
  /** each of them has a connection of its own, also by gRPC; default: gRPC multiplexes */
  readonly connectionEach?: boolean
  /** all of them share a few connections by HTTP/1.1 as well: they are pipelined */
  readonly pipelined?: boolean
  /** how many different keys */
  readonly keys: number
  readonly valueBytes: number
  /** of reads; default local */
  readonly freshness?: Freshness
  /** of reads, behind the key: `?stale`; instead of what `freshness` means */
  readonly query?: string
  /**
   * Requests a second that are due whether or not the ones before were answered; what finds no free connection
   * waits, and its latency counts from when it was due. Default: the next as soon as the last is answered.
   */
  readonly ratePerSecond?: number
  /** processes whose CPU time is the servers' */
  readonly serverPids: readonly number[]
}

export interface JobResult {
  /** requests that were answered as they should be, inside the measured time */
  readonly operations: number
  readonly errors: number
  /** one of the errors in words */
  readonly firstError: string | null
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** longest time in which nothing was answered as it should be, ms */
  readonly gapMs: number
  /** CPU of all server processes, microseconds */
  readonly serverCpuUs: number
  /** CPU of the load generator, microseconds */
  readonly clientCpuUs: number
  /** of the machine's CPU that neither servers nor generator used; 0 to 1 */
  readonly othersShare: number
}

/** What the generator process sends back for a job. */
export type Reply =
  | { readonly kind: 'result'; readonly result: JobResult }
  | { readonly kind: 'failed'; readonly reason: string }
