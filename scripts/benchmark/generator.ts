/** The load generator's process: takes jobs over IPC, one at a time, and measures. */

import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcLoop } from './grpc-loop.ts'
import { HttpLoop } from './http-loop.ts'
import type { Job, JobResult, Reply } from './job.ts'
import { othersShare, processesUs, readCpu } from './process-cpu.ts'
import { buildRequests, grpcMethod } from './requests.ts'
import { percentile, Tally } from './tally.ts'

/** How long requests in flight at the end may still take. */
const DRAIN_MS = 10_000
/** How long each key once may take. */
const FILL_MS = 120_000
/** Few: each costs the server two goroutines and its client's batching. */
const GRPC_CONNECTIONS_MAX = 4

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
    serverCpuUs,
    clientCpuUs,
    othersShare: othersShare(before, after, serverCpuUs + clientCpuUs),
  }
}

function buildLoops(job: Job, tally: Tally): Loop[] {
  const requests = buildRequests(job)
  const bodyBytesMin = job.load === 'reads' ? job.valueBytes : 0
  const common = { endpoint: job.endpoint, tally, bodyBytesMin }
  if (job.dialect !== 'etcd-grpc') {
    return Array.from({ length: job.concurrency }, () => new HttpLoop({ ...common, requests }))
  }
  const connections = Math.min(job.concurrency, GRPC_CONNECTIONS_MAX)
  return Array.from({ length: connections }, (_, at) => {
    // the first connections carry one stream more where it does not divide
    const streams = Math.ceil((job.concurrency - at) / connections)
    return new GrpcLoop({ ...common, method: grpcMethod(job.load), messages: requests, streams })
  })
}
