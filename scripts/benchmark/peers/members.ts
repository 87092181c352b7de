import { endServers, type RunningServer, waitUntil } from '../child-process.ts'
import type { Aim, Attempt, Cluster, Member, Target } from '../cluster.ts'
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
  /** of the member at this port */
  requests(port: number): Requests
}

/** Of one member. */
export type Requests = Pick<Member, 'port' | 'write' | 'read'>

/** A server that is started anew as often as it is wanted. */
export class StartedMember implements Member {
  readonly #start: () => RunningServer
  readonly #requests: Requests
  #server: RunningServer

  constructor(start: () => RunningServer, requests: Requests) {
    this.#start = start
    this.#requests = requests
    this.#server = start()
  }

  get port(): number {
    return this.#requests.port
  }

  write(value: string): Attempt {
    return this.#requests.write(value)
  }

  read(): Attempt {
    return this.#requests.read()
  }

  get server(): RunningServer {
    return this.#server
  }

  get pid(): number {
    return this.#server.child.pid ?? 0
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { child } = this.#server
    const gone = new Promise(resolve => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }

  startAgain(): void {
    this.#server = this.#start()
  }
}

/** Starts the members and waits until all know the same leader. */
export async function startStore(store: Store): Promise<Cluster> {
  const ids = Array.from({ length: store.nodes }, (_, id) => id)
  const members: StartedMember[] = []
  const servers = () => members.map(({ server }) => server)
  const stop = () => endServers(servers().map(({ child }) => child))
  const leading = async () => {
    const found = await store.leader(ids)
    if (found === null) throw new Error(`${store.name} has no leader`)
    return found
  }
  const ready = () =>
    waitUntil(store.name, servers(), async () => (await store.leader(ids)) !== null)
  try {
    for (const id of ids) {
      members.push(new StartedMember(() => store.start(id), store.requests(store.clientPort(id))))
    }
    await ready()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    stop,
    ready,
    members: () => members,
    leader: async () => {
      const member = members[await leading()]
      if (member === undefined) throw new RangeError(`${store.name} has no such member`)
      return member
    },
    aimAt: async (target): Promise<Aim> => ({
      dialect: store.dialect(target),
      endpoint: { kind: 'tcp', host: '127.0.0.1', port: store.clientPort(await leading()) },
      serverPids: members.map(({ pid }) => pid),
    }),
  }
}
