import type { Target } from './cluster.ts'
import type { Options } from './options.ts'
import type { Point } from './summary.ts'

/**
 * Every point of one repetition. Targets of the same load and concurrency follow one another, so that a slow
 * minute of the machine hits all of them; who is first rotates.
 */
export function pointsOf(
  options: Options,
  targets: readonly Target[],
  repetition: number,
): Point[] {
  const points: Point[] = []
  let turn = repetition
  for (const load of options.loads) {
    for (const concurrency of options.concurrency) {
      const first = turn % targets.length
      const order = [...targets.slice(first), ...targets.slice(0, first)]
      points.push(...order.map(target => ({ load, concurrency, target })))
      turn += 1
    }
  }
  return points
}
