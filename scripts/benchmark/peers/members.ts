import { endServers, type RunningServer, waitUntil } from '../child-process.ts'
import type { Aim, Attempt, Cluster, Target } from '../cluster.ts'
import type { Dialect } from '../job.ts'

/** Another store: how its members are started and asked. */
export interface Store {
  readonly name: string
  readonly nodes: number
  /** @param id 0 to `nodes` − 1; the same again after its end */
  start(id: number): RunningServer
  clientPort(id: number): number
  /** the member that leads, as each of these members sees it; null while one of them knows none */
  leader(ids: readonly number[]): Promise<number | null>
  dialect(target: Target): Dialect
  attempt(port: number): Attempt
}

/** Starts the members and waits until all know the same leader. */
export async function startStore(store: Store): Promise<Cluster> {
  const ids = Array.from({ length: store.nodes }, (_, id) => id)
  const members: RunningServer[] = []
  const stop = () => endServers(members.map(({ child }) => child))
  const leader = async () => {
    const found = await store.leader(ids)
    if (found === null) throw new Error(`${store.name} has no leader`)
    return found
  }
  const ready = () => waitUntil(store.name, members, async () => (await store.leader(ids)) !== null)
  try {
    for (const id of ids) members.push(store.start(id))
    await ready()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    stop,
    aimAt: async (target): Promise<Aim> => ({
      dialect: store.dialect(target),
      endpoint: { kind: 'tcp', host: '127.0.0.1', port: store.clientPort(await leader()) },
      serverPids: livingPids(members),
    }),
    killLeader: async () => {
      const leading = await leader()
      const member = members[leading]
      if (member !== undefined) await killed(member)
      const others = ids.filter(id => id !== leading)
      return others.map(id => store.attempt(store.clientPort(id)))
    },
    revive: async () => {
      for (const [id, member] of members.entries()) {
        if (isDead(member)) members[id] = store.start(id)
      }
      await ready()
    },
  }
}

/** kill -9; returns when it is gone. */
export async function killed({ child }: RunningServer): Promise<void> {
  const gone = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

export function livingPids(servers: readonly RunningServer[]): number[] {
  return servers.flatMap(({ child }) => child.pid ?? [])
}

export function isDead({ child }: RunningServer): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
