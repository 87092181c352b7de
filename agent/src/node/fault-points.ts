/**
 * Moments between two steps of which a crash must do no harm. Tests end the agent there; nothing else
 * listens. In the order in which each task comes by them.
 */
export const FAULT_POINTS = [
  // one write of the log
  'persist:before',
  'persist:after',
  // one batch of the state machine; after: it is in the machine, and the core does not know yet
  'apply:before',
  'apply:after',
  'checkpoint:before',
  'checkpoint:after',
  // posted: the core knows the new base, and the log still has the old one
  'compact:before',
  'compact:posted',
  'compact:after',
  'snapshot:begun',
  'snapshot:written',
  'snapshot:stored',
  'chunk:sent',
  'chunk:received',
  // verified and fsynced at the receiver
  'transfer:whole',
  'install:before',
  'install:marked',
  'install:restored',
  'install:reset',
] as const

export type FaultPoint = (typeof FAULT_POINTS)[number]

/** Called at each of these moments. */
export type Reach = (point: FaultPoint) => void

/** Where the agent ends itself. */
export interface PlannedCrash {
  readonly point: FaultPoint
  /** at which time that it is reached, from 1 on */
  readonly at: number
}

/** @param text `<point>:kill@<n>`; null when it is none */
export function parsePlannedCrash(text: string): PlannedCrash | null {
  const [, name, times] = /^([a-z:]+):kill@([1-9][0-9]{0,8})$/.exec(text) ?? []
  const point = FAULT_POINTS.find(known => known === name)
  return point === undefined ? null : { point, at: Number(times) }
}

/** Calls `crash` when the point is reached that often. */
export function crashAt({ point, at }: PlannedCrash, crash: () => void): Reach {
  let reached = 0
  return here => {
    if (here !== point) return
    reached += 1
    if (reached === at) crash()
  }
}
