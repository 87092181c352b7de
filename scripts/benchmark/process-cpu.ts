import { readFileSync } from 'node:fs'

/** USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000

/** CPU time, user and system, that the processes have used in all; null where one of them is gone. Microseconds. */
export function cpuUs(pids: readonly number[]): number | null {
  let ticks = 0
  for (const pid of pids) {
    const own = cpuTicks(pid)
    if (own === null) return null
    ticks += own
  }
  return ticks * TICK_US
}

function cpuTicks(pid: number): number | null {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return null
  }
  // the second field is a name in parentheses, which may hold spaces: count from its end
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}
