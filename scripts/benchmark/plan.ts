import { serves, type Target } from './cluster.ts'
import type { LoadName } from './loads.ts'
import type { Options } from './options.ts'
import { QUICK } from './quick.ts'
import type { Point } from './summary.ts'

/** Points that are compared with each other: they follow one another, so that a slow minute of the machine hits all. */
export type Group = readonly Point[]

export function groupsOf(options: Options, targets: readonly Target[]): Group[] {
  const wanted = options.quick
    ? QUICK.map(one => ({ ...one, targets: one.targets.filter(each => targets.includes(each)) }))
    : options.loads.map(load => ({ load, concurrency: options.concurrency, targets }))
  const groups = new Map<string, Point[]>()
  for (const { load, concurrency, targets } of wanted) {
    for (const each of concurrency) {
      const points = targets
        .filter(target => serves(target, load))
        .map(target => ({ load, concurrency: each, target }))
      const name = `${comparedAs(load)}/${each}`
      groups.set(name, [...(groups.get(name) ?? []), ...points])
    }
  }
  return [...groups.values()]
}

/** Every point of one repetition; who of a group is first rotates. */
export function pointsOf(groups: readonly Group[], repetition: number): Point[] {
  return groups.flatMap((group, at) => {
    const first = (repetition + at) % Math.max(1, group.length)
    return [...group.slice(first), ...group.slice(0, first)]
  })
}

/** What a load of ours stands beside among the others': nobody else reads out of nginx's memory. */
export function comparedAs(load: LoadName): LoadName {
  return load === 'edge-reads' ? 'local-reads' : load
}
