/** The names under which this agent's numbers are published. Units are seconds and bytes, as Prometheus' conventions ask. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Histogram as Counts } from '../lib/histogram.ts'
import type { NodeMeasures } from '../node/measures.ts'
import type { NodeStatus } from '../node/node-api.ts'
import { EDGE_STATES, type EdgeView } from './edge-view.ts'
import { type Api, statusIfAny } from './exchange.ts'
import { STRUCTURE_STATES, type StructureView } from './structure-view.ts'

type Labels = Readonly<Record<string, string>>

interface Named {
  /** without the prefix */
  readonly name: string
  readonly help: string
  /** names of the labels that every sample has */
  readonly labels?: readonly string[]
}

const PREFIX = 'raft_nginx_'
const ROLES = ['follower', 'candidate', 'leader'] as const

/** Builds all metrics anew: a scrape is rare, and so a request costs a few additions only. */
export function registerMeasures(registry: Registry, api: Api): void {
  const into = new Metrics(registry)
  into.gauge(
    {
      name: 'build_info',
      help: 'Version of the agent; always 1.',
      labels: ['version', 'node_version'],
    },
    [[1, { version: api.version, node_version: process.version }]],
  )
  const status = statusIfAny(api)
  if (status !== null) {
    const measures = api.node.measures()
    registerStatus(into, status)
    registerPeers(into, status, measures)
    registerWork(into, status, measures)
    registerSnapshots(into, status, measures)
  }
  registerHttp(into, api)
  if (api.plugIn === null) registerWatches(into, api)
  if (api.edge !== null) registerEdge(into, api.edge())
  if (api.structure !== null) registerStructure(into, api.structure.view())
}

function registerStructure(into: Metrics, { state: now, index, tried }: StructureView): void {
  into.gauge(
    {
      name: 'structure_state',
      help: "1 for the state of the keys that are nginx's configuration.",
      labels: ['state'],
    },
    STRUCTURE_STATES.map(state => [now === state ? 1 : 0, { state }]),
  )
  const plain = (name: string, help: string, value: number | null) =>
    into.gauge({ name, help }, value === null ? [] : [[value, {}]])
  plain('structure_index', 'Index of the tree that nginx runs.', index)
  plain('structure_tried_index', 'Index of the newest tree that was looked at.', tried)
}

function registerEdge(into: Metrics, edge: EdgeView): void {
  const plain = (name: string, help: string, value: number) =>
    into.gauge({ name, help }, [[value, {}]])
  into.gauge(
    { name: 'edge_state', help: "1 for the state of nginx's own memory.", labels: ['state'] },
    EDGE_STATES.map(state => [edge.state === state ? 1 : 0, { state }]),
  )
  const { index } = edge
  if (index !== null) plain('edge_index', "Entry as of which nginx's memory is the store.", index)
  plain('edge_capacity_bytes', "Size of nginx's memory; 0 before it was told.", edge.capacity)
  plain('edge_free_bytes', 'Of that, in pages that nothing uses.', edge.free)
  plain('edge_missed_batches', 'Batches in a row that nginx has not answered.', edge.missed)
  const batches = { name: 'edge_batches_total', help: 'Batches that nginx has taken.' }
  into.counter(batches, [[edge.batches, {}]])
  const copies = { name: 'edge_copies_total', help: 'Copies of everything that were begun.' }
  into.counter(copies, [[edge.copies, {}]])
}

/** A registry, with one call a metric: samples are values with their labels. */
class Metrics {
  readonly #registry: Registry

  constructor(registry: Registry) {
    this.#registry = registry
  }

  gauge(named: Named, samples: readonly (readonly [number, Labels])[]): void {
    const gauge = new Gauge(this.#options(named))
    for (const [value, labels] of samples) gauge.set(labels, value)
  }

  counter(named: Named, samples: readonly (readonly [number, Labels])[]): void {
    const counter = new Counter(this.#options(named))
    for (const [value, labels] of samples) counter.inc(labels, value)
  }

  histogram(named: Named, samples: readonly (readonly [Counts, Labels])[]): void {
    new Counted(this.#options(named), samples)
  }

  #options({ name, help, labels = [] }: Named) {
    return {
      name: PREFIX + name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
    }
  }
}

/** prom-client's histogram with the counts of ours, which cost a request a tenth as much. */
class Counted extends Histogram {
  readonly #named: Named
  readonly #samples: readonly (readonly [Counts, Labels])[]

  constructor(
    options: Named & { labelNames: string[]; registers: Registry[] },
    samples: readonly (readonly [Counts, Labels])[],
  ) {
    super(options)
    this.#named = { name: options.name, help: options.help }
    this.#samples = samples
  }

  /** What the registry asks for when it writes text. */
  getForPromString() {
    const { name, help } = this.#named
    const values = this.#samples.flatMap(([counts, labels]) => samplesOf(name, counts, labels))
    return { name, help, type: 'histogram', values }
  }
}

function samplesOf(name: string, counts: Counts, labels: Labels) {
  const { buckets, sum } = counts.view()
  const bounds = buckets.map(({ upTo, count }) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le: upTo === Number.POSITIVE_INFINITY ? '+Inf' : String(upTo) },
    value: count,
  }))
  const all = buckets.at(-1)?.count ?? 0
  return [
    ...bounds,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: all },
  ]
}

function registerStatus(into: Metrics, status: NodeStatus): void {
  const plain = (name: string, help: string, value: number) =>
    into.gauge({ name, help }, [[value, {}]])
  into.gauge(
    { name: 'role', help: '1 for the role that this node has.', labels: ['role'] },
    ROLES.map(role => [status.role === role ? 1 : 0, { role }]),
  )
  plain('term', 'Current term.', status.term)
  plain('leader_known', '1 while this node knows a leader.', status.leader === null ? 0 : 1)
  plain('ready', '1 while /readyz says so.', status.ready ? 1 : 0)
  plain(
    'quarantined',
    '1 while its machine is known to be wrong.',
    status.quarantine === null ? 0 : 1,
  )
  registerCheck(into, status)
  plain('commit_index', 'Highest entry known to be committed.', status.commitIndex)
  plain('applied_index', 'Highest entry that the state machine has applied.', status.appliedIndex)
  plain('last_log_index', "Highest entry of this node's log.", status.lastIndex)
  plain('first_log_index', "Lowest entry of this node's log that is kept.", status.firstIndex)
  plain('members', 'Members of the cluster as this node knows them.', status.members.length)
  if (status.stalenessMs === null) return
  const help = "How old this node's knowledge can be."
  plain('staleness_seconds', help, status.stalenessMs / 1000)
}

const VERDICTS = ['open', 'agreed', 'differs', 'undecided'] as const

function registerCheck(into: Metrics, { check }: NodeStatus): void {
  into.gauge(
    {
      name: 'machine_check',
      help: '1 for how the machine compared with the others at the newest check.',
      labels: ['verdict'],
    },
    VERDICTS.map(verdict => [check?.verdict === verdict ? 1 : 0, { verdict }]),
  )
  if (check === null) return
  into.gauge({ name: 'machine_check_index', help: 'Entry of the newest check.' }, [
    [check.index, {}],
  ])
}

function registerPeers(into: Metrics, status: NodeStatus, { peers }: NodeMeasures): void {
  into.gauge(
    {
      name: 'peer_connected',
      help: '1 while there is a connection to that peer.',
      labels: ['peer'],
    },
    status.links.map(({ peer, connected }) => [connected ? 1 : 0, { peer }]),
  )
  into.gauge(
    {
      name: 'peer_lag_entries',
      help: "Entries of the leader's log that the peer is not known to hold; on the leader only.",
      labels: ['peer'],
    },
    peers.map(({ peer, lag }) => [lag, { peer }]),
  )
}

function registerWork(into: Metrics, status: NodeStatus, measures: NodeMeasures): void {
  into.histogram(
    { name: 'log_persist_duration_seconds', help: 'A write to the log, fsync included.' },
    [[measures.persistSeconds, {}]],
  )
  into.histogram(
    { name: 'apply_duration_seconds', help: 'A batch of entries in the state machine.' },
    [[measures.applySeconds, {}]],
  )
  const campaigns = { name: 'elections_started_total', help: 'Elections that this node stood for.' }
  into.counter(campaigns, [[measures.campaigns, {}]])
  const changes = { name: 'leader_changes_total', help: 'How often another leader was seen.' }
  into.counter(changes, [[measures.leaderChanges, {}]])
  const queues = { ...measures.waiting, applies: status.commitIndex - status.appliedIndex }
  into.gauge(
    {
      name: 'queue_length',
      help: 'What waits: proposals for the core, uncommitted for a majority, applies for the state machine, persists for the disk, reads for the leader, indexes for this node.',
      labels: ['queue'],
    },
    Object.entries(queues).map(([queue, length]) => [length, { queue }]),
  )
}

function registerSnapshots(
  into: Metrics,
  { snapshots: now }: NodeStatus,
  { logBytes, compactions, snapshots }: NodeMeasures,
): void {
  const gauge = (name: string, help: string, value: number) =>
    into.gauge({ name, help }, [[value, {}]])
  const counter = (name: string, help: string, value: number) =>
    into.counter({ name, help }, [[value, {}]])
  gauge('log_bytes', 'Size of the log, about.', logBytes)
  counter('log_compactions_total', 'How often the front of the log was dropped.', compactions)
  const stored = { name: 'snapshot_index', help: 'Position of the newest snapshot stored here.' }
  into.gauge(stored, now.stored === null ? [] : [[now.stored, {}]])
  const sending = 'Snapshots on their way to other nodes: 1 while there are any.'
  gauge('snapshot_sending', sending, now.sending === null ? 0 : 1)
  const installing = '1 while a snapshot replaces log and state machine.'
  gauge('snapshot_installing', installing, now.installing ? 1 : 0)
  counter('snapshots_built_total', 'Snapshots made here.', snapshots.built)
  counter('snapshots_sent_total', 'Snapshots that reached another node whole.', snapshots.sent)
  counter('snapshots_received_total', 'Snapshots that came here whole.', snapshots.received)
  const failed = 'Snapshots whose transfer from here came to nothing.'
  counter('snapshot_transfers_failed_total', failed, snapshots.failed)
  const installs = 'How often log and state machine were replaced by a snapshot.'
  counter('snapshots_installed_total', installs, snapshots.installs)
  counter('snapshot_sent_bytes_total', 'Of snapshots, to other nodes.', snapshots.bytesSent)
  const received = 'Of snapshots, from other nodes.'
  counter('snapshot_received_bytes_total', received, snapshots.bytesReceived)
}

function registerHttp(into: Metrics, { measures, bodies }: Pick<Api, 'measures' | 'bodies'>): void {
  const { routes } = measures
  into.counter(
    {
      name: 'http_requests_total',
      help: 'Requests by route, method and status; 499: the client left before its answer.',
      labels: ['route', 'method', 'code'],
    },
    routes.flatMap(({ route, method, codes }) =>
      [...codes].map(([code, count]) => [count, { route, method, code: String(code) }] as const),
    ),
  )
  into.histogram(
    {
      name: 'http_request_duration_seconds',
      help: 'From the whole head of a request to the end of its answer.',
      labels: ['route', 'method'],
    },
    routes.map(({ route, method, seconds }) => [seconds, { route, method }]),
  )
  const plain = (name: string, help: string, value: number) =>
    into.gauge({ name, help }, [[value, {}]])
  plain('http_requests_in_flight', 'Requests that have begun and not ended.', measures.inFlight)
  plain('http_connections', 'Open connections.', measures.connections)
  plain('http_body_bytes', 'Bodies of requests that are held in memory.', bodies.held)
  into.counter(
    {
      name: 'http_connections_refused_total',
      help: 'Connections closed at once: there were too many.',
    },
    [[measures.connectionsRefused, {}]],
  )
}

function registerWatches(into: Metrics, { feed, watches }: Pick<Api, 'feed' | 'watches'>): void {
  const plain = (name: string, help: string, value: number) =>
    into.gauge({ name, help }, [[value, {}]])
  plain('watches', 'Clients of /v1/watch.', watches.size)
  const listening = "Who waits for changes: watches, blocking queries, nginx's copy."
  plain('feed_listeners', listening, feed.listening)
  plain('feed_since_index', 'Every change after this entry can still be watched.', feed.since)
  const dropped = 'Watches that were too slow for what is kept.'
  into.counter({ name: 'watches_dropped_total', help: dropped }, [[watches.dropped, {}]])
}
