import t from 'tap'
import type { JobResult } from '../../../scripts/benchmark/job.ts'
import { inAll } from '../../../scripts/benchmark/scenarios/steady.ts'

function slice(operations: number, gapMs: number, errors = 0): JobResult {
  return {
    ...{ operations, errors, firstError: errors > 0 ? 'status 503' : null, seconds: 10, gapMs },
    ...{ p50Ms: 1, p99Ms: gapMs / 2, maxMs: gapMs, othersShare: 0.1 },
    ...{ serverCpuUs: operations * 50, clientCpuUs: operations },
  }
}

t.test('a long run is the sum of its slices, and as bad as its worst gap', async t => {
  t.match(inAll([slice(1_000, 20), slice(3_000, 90, 2), slice(2_000, 40)]), {
    ...{ writes: 6_000, errors: 2, firstError: 'status 503' },
    ...{ perSecond: 200, perSecondRange: [100, 300], p99Ms: 20, cpuUs: 50, longestGapMs: 90 },
  })
})
