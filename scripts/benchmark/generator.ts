/** The load generator's process: takes jobs over IPC, one at a time, and measures. */

import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcLoop } from './grpc-loop.ts'
import { GrpcStreamLoop } from './grpc-stream-loop.ts'
import { HttpLoop } from './http-loop.ts'
import { REQUEST_BYTES_MAX } from './http2-frames.ts'
import type { Job, JobResult, Reply } from './job.ts'
import { PipelineLoop } from './pipeline-loop.ts'
import { othersShare, processesUs, readCpu } from './process-cpu.ts'
import { Requests } from './requests.ts'
import { RespLoop } from './resp-loop.ts'
import { percentile, Tally } from './tally.ts'

/** How long requests in flight at the end may still take. */
const DRAIN_MS = 10_000
/** How long each key once may take. */
const FILL_MS = 600_000
/** Of clients that share them. Few: each costs etcd two goroutines and its client's batching. */
const SHARED_CONNECTIONS_MAX = 4
/** Larger values go by a client that keeps windows. */
const GRPC_LEAN_BYTES_MAX = 8_192
/** Of a request beside its value, at most: frames, headers, key. */
const GRPC_OVERHEAD_BYTES = 200

interface Loop {
  start(): void
  close(): void
}

process.on('message', (job: Job) => {
  run(job).then(
    result => reply({ kind: 'result', result }),
    (error: unknown) => reply({ kind: 'failed', reason: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole group: the bench decides when this process ends
process.on('SIGINT', () => undefined)

function reply(message: Reply): void {
  process.send?.(message)
}

async function run(job: Job): Promise<JobResult> {
  const once = job.extent.kind === 'each-key-once'
  const tally = new Tally(job.keys, once ? job.keys : Number.POSITIVE_INFINITY)
  const loops = buildLoops(job, tally)
  if (job.ratePerSecond !== undefined) tally.pace(job.ratePerSecond)
  for (const loop of loops) loop.start()
  if (job.extent.kind === 'timed') await sleep(job.extent.warmUpMs)

  const startedAtMs = performance.now()
  const client = process.cpuUsage()
  const before = readCpu(job.serverPids)
  tally.measure()
  if (job.extent.kind === 'timed') await sleep(job.extent.measureMs)
  else await Promise.race([tally.idle(), sleep(FILL_MS, undefined, { ref: false })])
  tally.stop()
  const seconds = (performance.now() - startedAtMs) / 1000
  const after = readCpu(job.serverPids)
  const used = process.cpuUsage(client)
  const clientCpuUs = used.user + used.system
  const serverCpuUs = processesUs(before, after)

  await Promise.race([tally.idle(), sleep(DRAIN_MS, undefined, { ref: false })])
  for (const loop of loops) loop.close()
  const sorted = tally.sortedLatenciesMs()
  return {
    operations: tally.operations,
    errors: tally.errors,
    firstError: tally.firstError,
    seconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    maxMs: percentile(sorted, 1),
    gapMs: tally.gapMs,
    serverCpuUs,
    clientCpuUs,
    othersShare: othersShare(before, after, serverCpuUs + clientCpuUs),
  }
}

function buildLoops(job: Job, tally: Tally): Loop[] {
  const { dialect, endpoint, concurrency } = job
  const common = { endpoint, tally, requests: new Requests(job) }
  if (job.pipelined) {
    const connections = Math.min(concurrency, SHARED_CONNECTIONS_MAX)
    return Array.from({ length: connections }, (_, at) => {
      return new PipelineLoop({ ...common, inFlight: shareOf(concurrency, connections, at) })
    })
  }
  if (dialect !== 'etcd-grpc') {
    const Kind = dialect === 'redis' ? RespLoop : HttpLoop
    return Array.from({ length: concurrency }, () => new Kind(common))
  }
  const Kind = job.valueBytes > GRPC_LEAN_BYTES_MAX ? GrpcStreamLoop : GrpcLoop
  const connections = grpcConnections(job)
  const methods = job.load === 'mixed' ? [0, 1] : [common.requests.at(0).method]
  return Array.from({ length: connections }, (_, at) => {
    return new Kind({ ...common, methods, streams: shareOf(concurrency, connections, at) })
  })
}

/** The first connections carry one more where it does not divide. */
function shareOf(concurrency: number, connections: number, at: number): number {
  return Math.ceil((concurrency - at) / connections)
}

/** So many that none has more in flight than the server's first window: the lean loop keeps none. */
function grpcConnections({ concurrency, valueBytes, connectionEach }: Job): number {
  if (connectionEach) return concurrency
  const few = Math.min(concurrency, SHARED_CONNECTIONS_MAX)
  if (valueBytes > GRPC_LEAN_BYTES_MAX) return few
  const streamsMax = Math.floor(REQUEST_BYTES_MAX / (valueBytes + GRPC_OVERHEAD_BYTES))
  return Math.max(few, Math.ceil(concurrency / streamsMax))
}
