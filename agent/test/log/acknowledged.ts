import { crc32c } from '../../src/lib/crc32c.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { type Act, perform } from './log-acts.ts'
import { IDENTITY, type Model, readAll } from './log-model.ts'

/** Opens the store and acts until something fails; how many were acknowledged. Tries them all, whatever fails. */
export async function actAll(store: LogStore, acts: readonly Act[]): Promise<number> {
  let acknowledged = 0
  let failed = false
  try {
    await store.open(IDENTITY)
  } catch {
    return 0
  }
  for (const act of acts) {
    try {
      await perform(store, act)
      acknowledged++
      if (failed) throw new TypeError('acknowledged after a failure')
    } catch (error) {
      if (error instanceof TypeError) throw error
      failed = true
    }
  }
  await store.close().catch(() => {})
  return acknowledged
}

/**
 * Opens the store: which model it holds, that of the acknowledged acts or of one more.
 * @throws Error when it is neither
 */
export async function openAcknowledged(
  store: LogStore,
  models: readonly Model[],
  acknowledged: number,
): Promise<Model> {
  const state = await store.open(IDENTITY)
  const found = digest({ ...state, entries: await readAll(store, state) })
  const candidates = models.slice(acknowledged, acknowledged + 2)
  const model = candidates.find(candidate => digest(candidate) === found)
  if (model === undefined) throw new Error(`not what ${acknowledged} or one more acts make`)
  return model
}

/** Equal for equal models. */
function digest({ base, hardState, entries, marker }: Model): string {
  const parts = entries.map(({ index, term, payload }) => [index, term, crc32c(payload)])
  return JSON.stringify([base, hardState, parts, marker?.id])
}
