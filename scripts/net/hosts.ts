/**
 * Hosts of one network: a network namespace each, joined by a bridge in this process's own. Only inside of a machine
 * of its own (`inside.ts`), where nothing of it can be in anybody's way, and nothing is left of it.
 */

import { holdUp } from './delaying.ts'
import { ip, run } from './tools.ts'

/** Who sends to whom: both are ids. */
export interface Link {
  readonly from: string
  readonly to: string
}

/** What is done to what comes along a link. */
export type Trouble =
  | { readonly kind: 'cut' }
  /** of a hundred packets */
  | { readonly kind: 'loss'; readonly percent: number }

interface Host {
  readonly address: string
  /** of what comes in */
  readonly rules: Set<{ readonly from: string; readonly trouble: Trouble }>
}

/** Number of this process's own address. */
const OWN_NUMBER = 250
const MASK = 24

export class Hosts {
  readonly #network: string
  readonly #hosts = new Map<string, Host>()
  readonly #shaped = new Set<string>()

  private constructor(network: string) {
    this.#network = network
  }

  /** @param network the first three numbers of the addresses */
  static async make(network: string): Promise<Hosts> {
    await ip('link set lo up')
    // Names of namespaces are files: here they are this machine's own.
    await run('mkdir', ['-p', '/run/netns'])
    await run('mount', ['-t', 'tmpfs', 'tmpfs', '/run/netns'])
    await ip('link add br0 type bridge')
    await ip(`addr add ${network}.${OWN_NUMBER}/${MASK} dev br0`)
    await ip('link set br0 up')
    return new Hosts(network)
  }

  /** @param number of its address, and of its cable's name */
  async add(id: string, number: number): Promise<void> {
    const address = `${this.#network}.${number}`
    await ip(`netns add ${id}`)
    await ip(`link add ${cableOf(id)} type veth peer name eth0 netns ${id}`)
    await ip(`link set ${cableOf(id)} master br0 up`)
    await ip(`-n ${id} link set lo up`)
    await ip(`-n ${id} addr add ${address}/${MASK} dev eth0`)
    await ip(`-n ${id} link set eth0 up`)
    await this.#nft(
      id,
      'add table inet fault\nadd chain inet fault in { type filter hook input priority -10; }\n',
    )
    this.#hosts.set(id, { address, rules: new Set() })
  }

  async remove(id: string): Promise<void> {
    await ip(`netns del ${id}`)
    this.#hosts.delete(id)
  }

  /** Until what it returns is called. */
  async trouble(links: readonly Link[], trouble: Trouble): Promise<() => Promise<void>> {
    const made = links.map(({ from, to }) => ({ to, rule: { from, trouble } }))
    for (const { to, rule } of made) this.#of(to).rules.add(rule)
    await this.#apply(made.map(({ to }) => to))
    return async () => {
      for (const { to, rule } of made) this.#of(to).rules.delete(rule)
      await this.#apply(made.map(({ to }) => to))
    }
  }

  /** The cable is out, for clients too. */
  async unplug(id: string): Promise<() => Promise<void>> {
    await ip(`link set ${cableOf(id)} down`)
    return async () => {
      await ip(`link set ${cableOf(id)} up`)
    }
  }

  /** Whether what it receives is being held up: two shapes of one cable there cannot be. */
  isShaped(id: string): boolean {
    return this.#shaped.has(id)
  }

  /** What goes to it waits for `kbit` in a second, ms at most, and is lost when it would be longer. */
  narrow(id: string, kbit: number, ms: number): Promise<() => Promise<void>> {
    return this.#shape(id, `tbf rate ${kbit}kbit burst 16kb latency ${ms}ms`)
  }

  /** Each packet comes so much later: to it where the kernel has sch_netem, else each way. @throws Error where neither goes */
  async delay(id: string, ms: number): Promise<() => Promise<void>> {
    try {
      return await this.#shape(id, `netem delay ${ms}ms ${Math.ceil(ms / 5)}ms`)
    } catch {
      this.#shaped.add(id)
      const undo = await holdUp(cableOf(id), ms).catch(error => {
        this.#shaped.delete(id)
        throw error
      })
      return async () => {
        await undo()
        this.#shaped.delete(id)
      }
    }
  }

  async #shape(id: string, shape: string): Promise<() => Promise<void>> {
    this.#shaped.add(id)
    try {
      await tc(`qdisc add dev ${cableOf(id)} root ${shape}`)
    } catch (error) {
      this.#shaped.delete(id)
      throw error
    }
    return async () => {
      await tc(`qdisc del dev ${cableOf(id)} root`)
      this.#shaped.delete(id)
    }
  }

  /** All rules of a host at once. */
  async #apply(ids: readonly string[]): Promise<void> {
    for (const id of new Set(ids)) {
      const rules = [...this.#of(id).rules].map(({ from, trouble }) => {
        const share = trouble.kind === 'cut' ? '' : `numgen random mod 100 < ${trouble.percent} `
        return `add rule inet fault in ip saddr ${this.#of(from).address} ${share}drop\n`
      })
      await this.#nft(id, `flush chain inet fault in\n${rules.join('')}`)
    }
  }

  async #nft(id: string, commands: string): Promise<void> {
    await run('nsenter', [`--net=/run/netns/${id}`, '--', 'nft', '-f', '-'], commands)
  }

  #of(id: string): Host {
    const host = this.#hosts.get(id)
    if (host === undefined) throw new Error(`there is no host ${id}`)
    return host
  }
}

/** `tc`, its arguments separated by blanks. */
function tc(command: string): Promise<string> {
  return run('tc', command.split(' '))
}

/** The end of it that is on the bridge. */
function cableOf(id: string): string {
  return `to-${id}`
}
