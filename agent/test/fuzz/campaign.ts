import { Chance } from '../simulation/chance.ts'
import { Mutator } from './mutator.ts'
import type { Target } from './target.ts'

/** Between two looks at what has to hold after any number of cases. */
const CHECK_EVERY = 5_000

/** A case that was not taken well; repeated by its bytes, which `found.json` keeps. */
export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure'
}

export interface Campaign {
  readonly target: Target
  readonly cases: number
  readonly seed: number
  readonly onProgress?: (done: number) => void
}

/** @throws FuzzFailure at the first case that is wrong */
export async function fuzz({ target, cases, seed, onProgress }: Campaign): Promise<void> {
  const mutator = new Mutator(new Chance(seed, target.name), target.seeds)
  for (const bytes of target.seeds) await takeOne(target, bytes)
  await target.check?.()
  let begun = 0
  let done = 0
  const worker = async () => {
    while (begun < cases) {
      begun += 1
      await takeOne(target, mutator.next())
      done += 1
      if (done % CHECK_EVERY === 0) {
        await target.check?.()
        onProgress?.(done)
      }
    }
  }
  await Promise.all(Array.from({ length: target.width }, worker))
  await target.check?.()
}

export async function takeOne(target: Target, bytes: Uint8Array): Promise<void> {
  try {
    const taking = target.take(bytes)
    if (taking !== undefined) await taking
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause)
    const base64 = Buffer.from(bytes).toString('base64')
    throw new FuzzFailure(
      `${target.name}: ${words}\n  {"target":"${target.name}","base64":"${base64}"}`,
      {
        cause,
      },
    )
  }
}
