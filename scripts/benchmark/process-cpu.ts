import { readFileSync } from 'node:fs'

/** USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000

/** CPU time that was used up to one moment, microseconds. */
export interface CpuReading {
  /** user and system, by process; a process that has ended is missing */
  readonly processes: ReadonlyMap<number, number>
  /** of the whole machine: all that is not idle, and all there was */
  readonly machine: { readonly busyUs: number; readonly allUs: number }
}

export function readCpu(pids: readonly number[]): CpuReading {
  const processes = new Map<number, number>()
  for (const pid of pids) {
    const ticks = processTicks(pid)
    if (ticks !== null) processes.set(pid, ticks * TICK_US)
  }
  return { processes, machine: machineCpu() }
}

/** CPU of the processes between two readings. One that ended meanwhile, such as nginx's cache loader, does not count. */
export function processesUs(before: CpuReading, after: CpuReading): number {
  let sum = 0
  for (const [pid, endUs] of after.processes) sum += endUs - (before.processes.get(pid) ?? endUs)
  return sum
}

/** Share of the machine that was busy with anything but `ownUs`; 0 to 1. */
export function othersShare(before: CpuReading, after: CpuReading, ownUs: number): number {
  const busyUs = after.machine.busyUs - before.machine.busyUs
  const allUs = after.machine.allUs - before.machine.allUs
  return allUs > 0 ? Math.max(0, (busyUs - ownUs) / allUs) : 0
}

function processTicks(pid: number): number | null {
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

/** user nice system idle iowait irq softirq steal: what follows is part of the first two. */
function machineCpu(): CpuReading['machine'] {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  const ticks = line.trim().split(/ +/).slice(1, 9).map(Number)
  const all = ticks.reduce((sum, each) => sum + each, 0)
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0)
  return { busyUs: (all - idle) * TICK_US, allUs: all * TICK_US }
}
