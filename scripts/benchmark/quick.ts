import type { Target } from './cluster.ts'
import type { LoadName } from './loads.ts'
import type { ScenarioName } from './scenarios/names.ts'

/** What `--quick` measures of what there is. */
export const QUICK: readonly {
  readonly load: LoadName
  readonly concurrency: readonly number[]
  readonly targets: readonly Target[]
}[] = [
  { load: 'writes', concurrency: [1, 16, 64, 256], targets: ['agent-pipelined', 'etcd'] },
  { load: 'writes', concurrency: [64, 256], targets: ['agent', 'gateway', 'etcd-conns'] },
  {
    ...{ load: 'linearizable-reads', concurrency: [64] },
    targets: ['agent-pipelined', 'agent', 'etcd', 'etcd-conns'],
  },
  {
    ...{ load: 'local-reads', concurrency: [64] },
    targets: ['gateway', 'etcd', 'etcd-conns', 'nginx-file'],
  },
  { load: 'edge-reads', concurrency: [64], targets: ['edge-pipelined', 'edge'] },
]

/** Targets that `--quick` needs. */
export const QUICK_TARGETS: readonly Target[] = [
  ...new Set(QUICK.flatMap(({ targets }) => targets)),
]

export const QUICK_SCENARIOS: readonly ScenarioName[] = ['disk', 'failover']
