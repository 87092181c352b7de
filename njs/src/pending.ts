/**
 * Which entries were answered to writers here, and are not in nginx's memory yet: until they are, reads that would not
 * show them go to the agent. One item an entry, named for it: workers add and remove items without a look at each
 * other's, so none can get lost. There are few, since a greater one makes the smaller ones superfluous.
 */

/** The part of nginx's shared dict, of numbers, that is used. */
export interface Pending {
  add(key: string, value: number): boolean
  delete(key: string): boolean
  keys(countMax?: number): string[]
}

const COUNT_MAX = 1000

/** 0: none. */
export function highest(pending: Pending): number {
  const keys = pending.keys(COUNT_MAX)
  let most = 0
  for (let at = 0; at < keys.length; at++) most = Math.max(most, Number(keys[at]))
  return most
}

/** @throws where the zone is full */
export function note(pending: Pending, index: number): void {
  const keys = pending.keys(COUNT_MAX)
  for (let at = 0; at < keys.length; at++) if (Number(keys[at]) >= index) return
  pending.add(String(index), 1)
  for (let at = 0; at < keys.length; at++) pending.delete(keys[at] as string)
}

/** Readers see all entries up to `index` by now. */
export function clearUpTo(pending: Pending, index: number): void {
  const keys = pending.keys(COUNT_MAX)
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] as string
    if (Number(key) <= index) pending.delete(key)
  }
}
