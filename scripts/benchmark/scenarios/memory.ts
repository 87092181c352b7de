import { readFileSync } from 'node:fs'

export interface Memory {
  /** resident, MiB */
  readonly rss: number
  /** its share of what it shares with others, MiB */
  readonly pss: number
}

/** @throws Error when there is no such process, or it is not ours to ask */
export function memoryOf(pid: number): Memory {
  return parseRollup(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))
}

/** proc_pid_smaps(5). */
export function parseRollup(text: string): Memory {
  const mebibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024
  return { rss: mebibytes('Rss'), pss: mebibytes('Pss') }
}
