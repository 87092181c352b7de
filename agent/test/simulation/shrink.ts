import { DEFAULT_LIMITS } from '../../src/raft/state.ts'
import type { Weather } from './weather.ts'
import { type Outcome, play, type Scenario } from './world.ts'

export interface Shrunk {
  readonly scenario: Scenario
  readonly outcome: Outcome
  /** how many runs it took */
  readonly runs: number
}

const RUNS_MAX = 400

type Change = (weather: Weather) => Weather

/** What makes a run simpler, the largest part first. */
const CHANGES: readonly Change[] = [
  part('nemesis', { partitionEvery: 0 }),
  part('nemesis', { crash: 0 }),
  part('nemesis', { crashAtWrite: 0 }),
  part('nemesis', { harass: 0 }),
  part('nemesis', { transfer: 0 }),
  part('nemesis', { pause: 0 }),
  part('nemesis', { forget: 0 }),
  part('membership', { change: 0 }),
  part('membership', { repair: 0 }),
  part('membership', { check: 0 }),
  part('membership', { edges: 0 }),
  part('membership', { identify: false }),
  part('membership', { spares: 0 }),
  part('network', { loss: 0 }),
  part('network', { duplication: 0 }),
  part('network', { late: 0 }),
  part('network', { delayMax: 1 }),
  part('damage', { slow: 0 }),
  part('damage', { clog: 0 }),
  part('damage', { rot: 0 }),
  part('damage', { wipe: 0 }),
  part('damage', { machine: 0 }),
  part('damage', { diverge: 0 }),
  part('disk', { error: 0 }),
  part('disk', { stuck: 0 }),
  part('disk', { ticksMax: 0 }),
  part('disk', { ticksMax: 1 }),
  part('clocks', { slowest: 1, fastest: 1 }),
  part('snapshots', { every: 0 }),
  part('snapshots', { lost: 0 }),
  part('snapshots', { damaged: 0 }),
  part('snapshots', { piecesMax: 1 }),
  part('clients', { rate: 0 }),
  part('clients', { giveUp: 0 }),
  part('clients', { count: 0 }),
  part('clients', { count: 1 }),
  part('limits', DEFAULT_LIMITS),
  weather => ({ ...weather, nodes: Math.max(1, weather.nodes - 2) }),
  halve(({ from, to }) => ({ from: Math.ceil((from + to) / 2), to })),
  halve(({ from, to }) => ({ from, to: Math.floor((from + to) / 2) })),
  halve(({ from, to }) => ({ from: from + Math.ceil((to - from) / 8), to })),
  halve(({ from, to }) => ({ from, to: to - Math.ceil((to - from) / 8) })),
  weather => ({ ...weather, ticks: Math.max(weather.nemesis.to, Math.floor(weather.ticks / 2)) }),
]

/**
 * Leaves out whatever the same promise is broken without, until nothing more can go. Every concern
 * draws from a stream of its own, so that leaving one out changes the others no more than it must.
 */
export function shrink(scenario: Scenario): Shrunk {
  let outcome = play(scenario)
  const promise = promiseOf(outcome)
  let runs = 1
  let simplest = scenario
  for (let again = promise !== null; again; ) {
    again = false
    for (const change of CHANGES) {
      const simpler = { ...simplest, weather: change(simplest.weather) }
      if (runs >= RUNS_MAX || same(simpler, simplest)) continue
      runs++
      const found = play(simpler)
      if (promiseOf(found) !== promise || found.events > outcome.events * 2) continue
      simplest = simpler
      outcome = found
      again = true
    }
  }
  return { scenario: simplest, outcome, runs }
}

/** What was broken, without when and by whom. */
function promiseOf({ violation }: Outcome): string | null {
  return /^tick \d+, event \d+: ([^{]*)/.exec(violation ?? '')?.[1] ?? null
}

function same(a: Scenario, b: Scenario): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function part<
  Name extends
    | 'nemesis'
    | 'membership'
    | 'snapshots'
    | 'damage'
    | 'network'
    | 'disk'
    | 'clocks'
    | 'clients'
    | 'limits',
>(name: Name, change: Partial<Weather[Name]>): Change {
  return weather => ({ ...weather, [name]: { ...weather[name], ...change } })
}

/** Of the time in which the nemesis acts. */
function halve(
  change: (
    span: Pick<Weather['nemesis'], 'from' | 'to'>,
  ) => Pick<Weather['nemesis'], 'from' | 'to'>,
): Change {
  return weather => ({ ...weather, nemesis: { ...weather.nemesis, ...change(weather.nemesis) } })
}
