/** Real clusters for tests and fault runs: own ports, own directory, everything ended with its owner. */

import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { agentStatus } from '../../../scripts/lib/agent-server.ts'
import {
  agentUrl,
  DEFAULT_SHAPE,
  gatewayUrl,
  type NodePlace,
  nodeOf,
  type Place,
  placeOf,
  type Shape,
} from '../../../scripts/lib/layout.ts'
import { type AddOptions, add, remove } from '../../../scripts/lib/membership.ts'
import { down, type Settings, up } from '../../../scripts/lib/operations.ts'
import { portTakenBy } from '../../../scripts/lib/ports.ts'
import { Client } from './client.ts'
import { type Load, type LoadOptions, startLoad } from './load.ts'

const POLL_MS = 25
const UNTIL_MS = 30_000
/** below the ports that the kernel gives to clients */
const PORTS = { first: 11_000, count: 6, step: 3_000, lane: 1_000 }
/** Of the test files that run at the same time, each has ports that no other takes while its nodes are down. */
const { TEST_LANE = '0' } = process.env

/** Some are added while a test runs. */
const NODES_MAX = 6

/** What a cluster lasts as long as: a test, or a run of faults. */
export interface Owner {
  /** to be done at its end, the latest first */
  teardown(end: () => unknown): void
}

export class TestCluster {
  /** changes with its members */
  place: Place
  readonly #owner: Owner
  readonly #clients: Client[] = []

  constructor(owner: Owner, place: Place) {
    this.#owner = owner
    this.place = place
  }

  get nodes(): readonly NodePlace[] {
    return this.place.nodes
  }

  get gateways(): string[] {
    return this.nodes.map(gatewayUrl)
  }

  /** through nginx */
  gateway(node: NodePlace): Client {
    return this.#client(gatewayUrl(node))
  }

  /** without nginx */
  agent(node: NodePlace): Client {
    return this.#client(agentUrl(node))
  }

  /** The node that all answering nodes hold for the leader. */
  async leader(): Promise<NodePlace> {
    let id = ''
    await until('the nodes agree on a leader', async () => {
      const all = await Promise.all(this.nodes.map(agentStatus))
      const known = new Set(all.flatMap(status => (status === null ? [] : status.leader.id)))
      const leads = all.some(status => status?.role === 'leader' && known.has(status.leader.id))
      id = [...known][0] ?? ''
      return known.size === 1 && id !== '' && leads
    })
    return nodeOf(this.place, id)
  }

  /** As `cluster add`. */
  async add(id: string, options: AddOptions = {}): Promise<NodePlace> {
    this.place = await add(this.place, id, options)
    return nodeOf(this.place, id)
  }

  /** As `cluster remove`. */
  async remove(node: NodePlace): Promise<void> {
    this.place = await remove(this.place, node.id)
  }

  /** Roles of the members, as this node knows them. */
  async roles(node: NodePlace): Promise<Readonly<Record<string, string>>> {
    const members = (await agentStatus(node))?.members ?? []
    return Object.fromEntries(members.map(({ id, role }) => [id, role]))
  }

  others(than: NodePlace): NodePlace[] {
    return this.nodes.filter(node => node.id !== than.id)
  }

  load(options: Omit<LoadOptions, 'urls'> & { readonly urls?: readonly string[] }): Load {
    const load = startLoad({ urls: this.gateways, ...options })
    this.#owner.teardown(() => load.stop())
    return load
  }

  /** Until `load` has `by` more acknowledged writes. */
  async grows(load: Load, by: number): Promise<void> {
    const before = load.acknowledged.size
    await until('writes are acknowledged', () => load.acknowledged.size >= before + by)
  }

  /** Every node has applied what any of them has committed. */
  async settled(): Promise<void> {
    await until('all nodes have applied the same', async () => {
      const all = await Promise.all(this.nodes.map(agentStatus))
      const commit = Math.max(...all.map(status => status?.commitIndex ?? -1))
      return all.every(status => status?.ready === true && status.appliedIndex === commit)
    })
  }

  /** Each 200 is there on each node, and nothing that was refused is anywhere. */
  async verify(t: Test, load: Load): Promise<void> {
    await this.settled()
    for (const node of this.nodes) {
      const lost = await this.#differing(node, load.acknowledged)
      t.strictSame(lost, [], `${node.id} has all ${load.acknowledged.size} acknowledged writes`)
      const absent = new Map([...load.refused].map(key => [key, '']))
      const grown = await this.#differing(node, absent)
      t.strictSame(grown, [], `${node.id} has none of the ${absent.size} refused writes`)
    }
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  async #differing(node: NodePlace, expected: ReadonlyMap<string, string>): Promise<string[]> {
    const client = this.agent(node)
    const differing: string[] = []
    const entries = [...expected]
    const reader = async () => {
      for (let next = entries.pop(); next !== undefined; next = entries.pop()) {
        const [key, value] = next
        const found = await client.read(key)
        if (found !== value) differing.push(`${key}: ${JSON.stringify(found)}`)
      }
    }
    await Promise.all(Array.from({ length: 16 }, reader))
    return differing
  }

  #client(url: string): Client {
    const client = new Client(url)
    this.#clients.push(client)
    return client
  }
}

/** Up and ready; ended with its owner, and removed where it has no directory of its own. */
export async function startCluster(
  owner: Owner,
  shape: Partial<Shape> = {},
  settings: Settings = {},
  directory: string = temporaryDirectory(owner),
): Promise<TestCluster> {
  const whole = { ...DEFAULT_SHAPE, ...shape }
  const place = placeOf(directory, { ...whole, basePort: await freeBasePort(whole) })
  const cluster = new TestCluster(owner, place)
  owner.teardown(async () => {
    cluster.close()
    await down(directory)
  })
  await up(place, { settings })
  return cluster
}

/** Its real path; removed with its owner, after what was registered later. */
export function temporaryDirectory(owner: Owner): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'cluster-')))
  owner.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Others may run the same tests on this machine. */
export async function freeBasePort(shape: Shape): Promise<number> {
  const laneFirst = PORTS.first + Number(TEST_LANE) * PORTS.lane
  for (let attempt = 0; attempt < PORTS.count; attempt++) {
    const basePort = laneFirst + ((process.pid + attempt) % PORTS.count) * PORTS.step
    const nodesMax = Math.max(shape.nodes, NODES_MAX)
    const { nodes } = placeOf('/', { ...shape, nodes: nodesMax, basePort })
    const ports = nodes.flatMap(node => [node.gatewayPort, node.httpPort, node.raftPort])
    const taken = await Promise.all(ports.map(portTakenBy))
    if (taken.every(by => by === null)) return basePort
  }
  throw new Error('no free ports for a cluster')
}

/** Polls. @throws Error that names what never came true */
export async function until(
  what: string,
  check: () => Promise<boolean> | boolean,
  withinMs = UNTIL_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`in ${withinMs} ms not true: ${what}`)
    await sleep(POLL_MS)
  }
}
