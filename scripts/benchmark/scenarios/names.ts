/** What is measured beside loads. The order is the run's: those with clusters of their own come last. */
export const SCENARIO_NAMES = [
  'disk',
  'failover',
  'rolling-restart',
  'half-load',
  'watchers',
  'five-nodes',
  'learners',
  'million',
] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]

export const SCENARIO_TEXTS: Readonly<Record<ScenarioName, string>> = {
  disk: 'fdatasyncs a second after appends of 4 KiB to 1 MiB',
  failover: 'from kill -9 of the leader to the first write',
  'rolling-restart':
    'SIGTERM and start of one member after the other: longest time without a write, failed tries',
  'half-load': 'latency of writes that are due at half of what a closed loop of 64 reaches',
  watchers:
    'one writer, and how long until a change is with the last of 1,000 connections that watch',
  'five-nodes': 'writes at 64 in flight with five voters',
  learners: 'the same with three voters and 20 learners, ours alone: etcd takes one',
  million: 'a million keys: memory of a member, restart to the first linearizable read',
}
