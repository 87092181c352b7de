/** What faults can be done to: agents and gateways, hosts, disks and clocks, as far as this machine has them. */

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from '../../../agent/test/simulation/chance.ts'
import type { NodePlace } from '../../lib/layout.ts'
import type { Hosts } from '../../net/hosts.ts'
import type { Disks } from '../disks.ts'
import type { Agents } from './agents.ts'
import type { Certificates } from './certificates.ts'
import type { Ledger } from './record.ts'

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
  /** ids that have to be left alone: something is being done to their processes */
  readonly #busy = new Set<string>()
  /** number of a node that may come beside the others */
  readonly spare: number
  /** members are being changed */
  changing = false
  /** certificates are being replaced */
  rotating = false
  /** faults of disks under way */
  diskFaults = 0

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
    return this.agents.running.filter(({ id }) => !this.#busy.has(id))
  }

  /** One of them, the leader as often as `share` says. */
  async victim(share = 0.6): Promise<NodePlace | null> {
    const free = this.free
    if (free.length === 0) return null
    const leader = this.chance.happens(share) ? await this.agents.leader() : null
    const found = free.find(({ id }) => id === leader?.id)
    return found ?? this.chance.oneOf(free)
  }

  /** Until what it returns is called nobody else touches it. */
  take({ id }: NodePlace): () => void {
    this.#busy.add(id)
    return () => {
      this.#busy.delete(id)
    }
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
