import { fastDoorTarget } from './fast-door-target.ts'
import { httpTarget } from './http-target.ts'
import { njsTargets } from './njs-targets.ts'
import type { Target } from './target.ts'
import { transportTargets } from './transport-targets.ts'

export interface Weighted {
  readonly target: Target
  /** of all cases */
  readonly share: number
}

/** All of them. HTTP is slow, and has three tenths of the cases. */
export async function allTargets(seed: number): Promise<readonly Weighted[]> {
  const quick = [...transportTargets(seed), ...njsTargets()]
  const http = await httpTarget()
  const fastDoor = await fastDoorTarget()
  const share = 0.7 / quick.length
  return [
    ...quick.map(target => ({ target, share })),
    { target: http, share: 0.2 },
    { target: fastDoor, share: 0.1 },
  ]
}
