/** Memory and files of every agent and nginx, before the first client and after the last one. */

import { setTimeout as sleep } from 'node:timers/promises'
import { agentPid } from '../../lib/agent-server.ts'
import { gatewayPid } from '../../lib/gateway-server.ts'
import type { NodePlace } from '../../lib/layout.ts'
import { childrenOf, openFiles, residentBytes } from '../../lib/processes.ts'

/** Of a server with all its workers. */
export interface Usage {
  readonly processes: number
  readonly residentMb: number
  readonly files: number
}

/** Names such as `agent of node0`. */
export type Usages = ReadonlyMap<string, Usage>

/** By name: null where it did not run at first. */
export type Compared = Readonly<Record<string, readonly [Usage | null, Usage]>>

/** Beyond what it had at first. So wide that only what grows without end is found. */
const MORE: Usage = { processes: 0, residentMb: 400, files: 64 }
/** For connections and former workers to go, ms. */
const SETTLED_MS = 15_000
const POLL_MS = 250
const MB = 1024 * 1024

export function usages(nodes: readonly NodePlace[]): Usages {
  const servers = nodes.flatMap(node => [
    { name: `agent of ${node.id}`, pid: agentPid(node) },
    { name: `nginx of ${node.id}`, pid: gatewayPid(node) },
  ])
  return new Map(
    servers.flatMap(({ name, pid }) => (pid === null ? [] : [[name, usage(pid)] as const])),
  )
}

/** Waits for what is on its way out. @returns how it is in the end, and whose use has grown beyond all measure */
export async function grown(nodes: readonly NodePlace[], before: Usages) {
  const deadline = performance.now() + SETTLED_MS
  for (;;) {
    const after = usages(nodes)
    const beyond = excesses(before, after)
    if (beyond.length === 0 || performance.now() > deadline) return { after, beyond }
    await sleep(POLL_MS)
  }
}

/** In words. */
export function excesses(before: Usages, after: Usages): readonly string[] {
  return [...after].flatMap(([name, now]) => {
    const then = before.get(name)
    if (then === undefined) return []
    const kinds = Object.keys(MORE) as (keyof Usage)[]
    const over = kinds.filter(kind => now[kind] > then[kind] + MORE[kind])
    return over.map(kind => `the ${name} has ${now[kind]} ${kind}, and had ${then[kind]}`)
  })
}

/** For the report: at first, and in the end. */
export function compared(before: Usages, after: Usages): Compared {
  return Object.fromEntries(
    [...after].map(([name, now]) => [name, [before.get(name) ?? null, now]]),
  )
}

function usage(pid: number): Usage {
  const pids = [pid, ...childrenOf(pid)]
  const sum = (of: (pid: number) => number) => pids.reduce((all, each) => all + of(each), 0)
  return {
    processes: pids.length,
    residentMb: Math.round(sum(residentBytes) / MB),
    files: sum(each => openFiles(each).length),
  }
}
