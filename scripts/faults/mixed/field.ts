/** What faults can be done to: agents and gateways, hosts, disks and clocks, as far as this machine has them. */

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../../agent/test/simulation/chance.ts'
import type { NodePlace } from '../../lib/layout.ts'
import type { Hosts } from '../../net/hosts.ts'
import type { Disks } from '../disks.ts'
import type { Agents } from './agents.ts'
import type { Certificates } from './certificates.ts'
import type { Ledger } from './record.ts'

const POLL_MS = 20

/** One that lasts until it is healed. */
export interface Fault {
  /** for the record: whom and how */
  readonly what: string
  /** @throws Error when what was done cannot be undone: a violation */
  heal(): Promise<void>
}

/** Null: there is nobody to do it to at the moment. */
export type Maker = (field: Field) => Promise<Fault | null>

export class Field {
  readonly agents: Agents
  readonly ledger: Ledger
  readonly chance: Chance
  readonly hosts: Hosts | null
  readonly disks: Disks | null
  readonly clocks: Clocks | null
  /** null: its agents have none */
  readonly certificates: Certificates | null
  /** in words, for people and for the record */
  readonly tell: (what: string) => void
  /** of an agent that is added */
  readonly settings: Readonly<Record<string, unknown>>
  /** by id, how much is being done to its processes: it has to be left alone */
  readonly #busy = new Map<string, number>()
  /** number of a node that may come beside the others */
  readonly spare: number
  /** members are being changed */
  changing = false
  /** certificates are being replaced */
  rotating = false
  /** faults of disks under way, and when one was over last */
  readonly #broken = { disks: 0, until: Number.NEGATIVE_INFINITY }

  constructor(
    parts: Pick<
      Field,
      | 'agents'
      | 'ledger'
      | 'chance'
      | 'hosts'
      | 'disks'
      | 'clocks'
      | 'certificates'
      | 'settings'
      | 'spare'
      | 'tell'
    >,
  ) {
    this.agents = parts.agents
    this.ledger = parts.ledger
    this.chance = parts.chance
    this.hosts = parts.hosts
    this.disks = parts.disks
    this.clocks = parts.clocks
    this.certificates = parts.certificates
    this.settings = parts.settings
    this.tell = parts.tell
    this.spare = parts.spare
  }

  /** Those that nothing is being done to. */
  get free(): readonly NodePlace[] {
    return this.agents.running.filter(node => !this.#isTaken(node))
  }

  /** One of them, the leader as often as `share` says. */
  async victim(share = 0.6): Promise<NodePlace | null> {
    const leader = this.chance.happens(share) ? await this.agents.leader() : null
    const free = this.free
    if (free.length === 0) return null
    const found = free.find(({ id }) => id === leader?.id)
    return found ?? this.chance.oneOf(free)
  }

  /** Until what it returns is called nobody else touches it. */
  take({ id }: NodePlace): () => void {
    this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1)
    return () => {
      this.#busy.set(id, (this.#busy.get(id) ?? 1) - 1)
    }
  }

  /** Once nobody else does anything to it. @throws Error when that takes longer */
  async takeOnceFree(node: NodePlace, withinMs: number): Promise<() => void> {
    const deadline = performance.now() + withinMs
    while (this.#isTaken(node)) {
      if (performance.now() > deadline) throw new Error(`something is being done to ${node.id}`)
      await sleep(POLL_MS)
    }
    return this.take(node)
  }

  /** A disk fails until what it returns is called. */
  breakDisk(): () => void {
    this.#broken.disks += 1
    return () => {
      this.#broken.disks -= 1
      this.#broken.until = performance.now()
    }
  }

  /** Whether a disk has failed since then. */
  disksFailed(since: number): boolean {
    return this.#broken.disks > 0 || this.#broken.until >= since
  }

  #isTaken({ id }: Pick<NodePlace, 'id'>): boolean {
    return (this.#busy.get(id) ?? 0) > 0
  }
}

/** Wall clocks of agents, by libfaketime: the monotonic ones are the machine's, as they are where a clock is set. */
export class Clocks {
  readonly #library: string
  readonly #directory: string

  private constructor(library: string, directory: string) {
    this.#library = library
    this.#directory = directory
  }

  /** Null where the library is missing. */
  static find(directory: string): Clocks | null {
    for (const folder of readdirSync('/usr/lib')) {
      const file = join('/usr/lib', folder, 'faketime/libfaketimeMT.so.1')
      if (existsSync(file)) return new Clocks(file, directory)
    }
    return null
  }

  /** For an agent that is started. */
  env({ id }: NodePlace): Readonly<Record<string, string>> {
    const file = this.#file(id)
    if (!existsSync(file)) this.set({ id }, 0)
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    }
  }

  /** For a program that is to believe that so many days have not been yet. */
  inThePast(days: number): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, FAKETIME: `-${days}d` }
  }

  /** From a second on from now its clock is so far from the machine's. */
  set({ id }: Pick<NodePlace, 'id'>, seconds: number): void {
    writeFileSync(this.#file(id), `${seconds < 0 ? '' : '+'}${seconds}\n`)
  }

  #file(id: string): string {
    return join(this.#directory, `${id}.clock`)
  }
}
