import type { LogIndex } from '../raft/types.ts'

/**
 * Why a node serves nothing from its machine: at a check entry a majority of the voters had come to one hash over all
 * that was applied, and this node to another one. Its log and its vote are as good as before.
 */
export interface Quarantined {
  readonly index: LogIndex
  /** hexadecimal, as is the next one */
  readonly own: string
  readonly majority: string
  /** RFC 3339 */
  readonly since: string
}

/** Remembers a quarantine over a restart. */
export interface QuarantineMark {
  /** Null: there is none. Rejects when that cannot be told. */
  read(): Promise<Quarantined | null>
  /** Durable when it resolves. */
  write(quarantined: Quarantined): Promise<void>
}

/** For a node that keeps everything in memory. */
export const NO_MARK: QuarantineMark = {
  read: () => Promise.resolve(null),
  write: () => Promise.resolve(),
}

/** For the operator. */
export function quarantineText({ index, own, majority }: Quarantined): string {
  return (
    `in quarantine: at entry ${index} the machine had come to ${own.slice(0, 16)}…, that of a majority to ` +
    `${majority.slice(0, 16)}…; it is not read, and its files are kept`
  )
}
