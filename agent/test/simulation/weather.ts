import { DEFAULT_LIMITS, type RaftOptions } from '../../src/raft/state.ts'
import { Chance } from './chance.ts'

/** E; timeouts lie in [E, 2E). */
export const ELECTION_TICKS = 10
export const HEARTBEAT_TICKS = 3

type Limits = Pick<
  RaftOptions,
  'window' | 'messageBytesMax' | 'uncommittedEntriesMax' | 'uncommittedBytesMax' | 'cacheBytesMax'
>

/**
 * The network of a simulation reorders what a connection keeps in order: refusals of an older stream
 * then have the whole window sent again, each of them. With the default's 256 that is a storm.
 */
const WINDOW_MAX = 16

/** What one seed is like, drawn once. Every fault is off in about half of the seeds: many weathers find more than one average storm. */
export interface Weather {
  readonly nodes: number
  readonly ticks: number
  readonly limits: Limits
  readonly network: {
    readonly loss: number
    readonly duplication: number
    readonly delayMax: number
    /** share of messages that come up to 20 E late */
    readonly late: number
  }
  readonly disk: {
    readonly ticksMax: number
    /** share of writes that take several E */
    readonly stuck: number
    /** share of writes that fail, or whose fsync does: their node stops, and starts again later */
    readonly error: number
  }
  /** What does not heal by itself; with probabilities in a tick. */
  readonly damage: {
    /** a disk is 50 times slower for 200 ticks */
    readonly slow: number
    /** one path holds all its messages for up to 5 E, then releases them at once */
    readonly clog: number
    /** a byte changes of an entry on a disk */
    readonly rot: number
    /** a node comes back with an empty disk */
    readonly wipe: number
    /** a node comes back without its machine, while log and vote are whole */
    readonly machine: number
    /** a machine comes to something else than the others */
    readonly diverge: number
    /** one that was found wrong is replaced */
    readonly repair: number
  }
  /** ticks of a node in one of the simulation: its clock runs at a rate in [slowest, fastest] */
  readonly clocks: { readonly slowest: number; readonly fastest: number }
  readonly nemesis: {
    /** acts in ticks [from, to) only */
    readonly from: number
    readonly to: number
    /** a partition begins every so many ticks on average; 0: never */
    readonly partitionEvery: number
    /** a node crashes with this probability in a tick */
    readonly crash: number
    /** a node crashes right after it issued a persist, or right after one completed */
    readonly crashAtWrite: number
    /** a leader with uncommitted entries is harassed with this probability in a tick */
    readonly harass: number
    /** a leader is told to hand over with this probability in a tick */
    readonly transfer: number
    /** followers are told that their leader is gone, true or not, with this probability in a tick */
    readonly forget: number
    /** a node stands still for 5 to 60 ticks with this probability in a tick */
    readonly pause: number
  }
  /** What operators do; with probabilities in a tick. */
  readonly membership: {
    /** nodes that wait to be added */
    readonly spares: number
    /** the leader learns who its members are, and tells the cluster */
    readonly identify: boolean
    /** some change is asked for */
    readonly change: number
    /** a lost node is removed, or added again */
    readonly repair: number
    /** a check of all machines is asked for */
    readonly check: number
    /** share of nodes that are added as edges */
    readonly edges: number
  }
  readonly snapshots: {
    /** the log is compacted when it holds so many entries more than `trailing`; 0: never */
    readonly every: number
    /** entries that are kept behind the machine's position */
    readonly trailing: number
    /** share of transfers whose connection breaks on the way */
    readonly lost: number
    /** share of files that arrive damaged */
    readonly damaged: number
    /** a file is sent in 1 to so many pieces */
    readonly piecesMax: number
  }
  readonly clients: {
    /** proposals in bulk with this probability in a tick */
    readonly rate: number
    readonly count: number
    /** ticks between two wishes of a client */
    readonly idleMax: number
    /** ticks that a client waits for an answer */
    readonly patienceMax: number
    /** share of attempts without success after which a client gives up */
    readonly giveUp: number
  }
}

export function drawWeather(seed: number, nodes: number | null): Weather {
  const chance = new Chance(seed, 'weather')
  // Apart, so that the seeds of old keep the weather in which they found something.
  const damage = new Chance(seed, 'damage')
  const machines = new Chance(seed, 'machines')
  const divergence = drawDivergence(new Chance(seed, 'divergence'))
  const maybe = (share: number): number => (chance.happens(0.5) ? share : 0)
  const members = drawNodes(chance)
  const ticks = chance.within(400, 1200)
  return {
    nodes: nodes ?? members,
    ticks,
    limits: drawLimits(chance),
    network: {
      loss: maybe(0.3 * chance.share() ** 2),
      duplication: maybe((chance.happens(0.7) ? 0.1 : 0.6) * chance.share()),
      delayMax: chance.within(1, 8),
      late: maybe(0.01),
    },
    disk: {
      ticksMax: chance.within(0, 6),
      stuck: chance.happens(0.1) ? 0.02 : 0,
      error: damage.happens(0.5) ? 0.004 * damage.share() : 0,
    },
    damage: {
      slow: damage.happens(0.1) ? 0.004 : 0,
      clog: damage.happens(0.5) ? 0.02 * damage.share() : 0,
      rot: damage.happens(0.25) ? 0.004 : 0,
      wipe: damage.happens(0.15) ? 0.004 : 0,
      machine: machines.happens(0.4) ? 0.02 * machines.share() : 0,
      ...divergence,
    },
    membership: checked(drawMembership(new Chance(seed, 'membership')), divergence.diverge),
    snapshots: drawSnapshots(new Chance(seed, 'snapshots')),
    clocks: chance.happens(0.5) ? { slowest: 0.8, fastest: 1.25 } : { slowest: 1, fastest: 1 },
    nemesis: {
      from: 0,
      to: ticks,
      partitionEvery: maybe(chance.within(50, 400)),
      crash: maybe(0.004 * chance.share()),
      crashAtWrite: maybe(0.1 * chance.share() ** 2),
      harass: maybe(0.15 * chance.share()),
      transfer: maybe(0.03 * chance.share()),
      pause: maybe(0.01 * chance.share()),
      forget: damage.happens(0.3) ? 0.01 * damage.share() : 0,
    },
    clients: {
      rate: 0.02 + 0.3 * chance.share(),
      count: chance.within(1, 5),
      idleMax: chance.within(2, 40),
      patienceMax: chance.within(10, 120),
      giveUp: chance.oneOf([0, 0.02, 0.1]),
    },
  }
}

function drawDivergence(chance: Chance): Pick<Weather['damage'], 'diverge' | 'repair'> {
  return { diverge: chance.happens(0.2) ? 0.01 * chance.share() : 0, repair: 0.01 }
}

/** A machine that goes wrong is found by checks only. */
function checked(membership: Weather['membership'], diverge: number): Weather['membership'] {
  return diverge > 0 ? { ...membership, check: 0.03 } : membership
}

function drawMembership(chance: Chance): Weather['membership'] {
  const changes = chance.happens(0.5)
  return {
    spares: changes ? chance.within(0, 3) : 0,
    identify: chance.happens(0.3) || changes,
    change: changes ? 0.06 * chance.share() : 0,
    repair: changes && chance.happens(0.7) ? 0.02 : 0,
    check: chance.happens(0.3) ? 0.01 : 0,
    edges: chance.oneOf([0, 0.2, 0.5]),
  }
}

function drawSnapshots(chance: Chance): Weather['snapshots'] {
  return {
    every: chance.happens(0.5) ? chance.within(3, chance.oneOf([8, 50])) : 0,
    trailing: chance.within(0, chance.oneOf([2, 10])),
    lost: chance.oneOf([0, 0.2, 0.6]),
    damaged: chance.oneOf([0, 0, 0.3]),
    piecesMax: chance.within(1, 8),
  }
}

function drawNodes(chance: Chance): number {
  const draw = chance.within(1, 100)
  if (draw <= 6) return 1
  if (draw <= 72) return 3
  return draw <= 94 ? 5 : 7
}

function drawLimits(chance: Chance): Limits {
  const small = (share: number, few: number, many: number): number =>
    chance.happens(share) ? few : many
  return {
    window: {
      messagesMax: small(0.25, chance.within(1, 4), WINDOW_MAX),
      bytesMax: small(0.1, 100, DEFAULT_LIMITS.window.bytesMax),
    },
    // An entry of this workload counts for about 30 bytes.
    messageBytesMax: small(0.35, chance.within(1, 70), DEFAULT_LIMITS.messageBytesMax),
    uncommittedEntriesMax: small(0.25, chance.within(2, 10), DEFAULT_LIMITS.uncommittedEntriesMax),
    uncommittedBytesMax: small(0.1, 200, DEFAULT_LIMITS.uncommittedBytesMax),
    cacheBytesMax: small(0.5, chance.within(0, 300), DEFAULT_LIMITS.cacheBytesMax),
  }
}
