/** Members that come and go while other things happen to them. */

import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestCluster } from '../../../../agent/test/cluster/harness.ts'
import { agentStatus } from '../../../lib/agent-server.ts'
import type { NodePlace } from '../../../lib/layout.ts'
import { anyNodeOf } from '../../../lib/membership.ts'
import { operate } from '../../../lib/operator.ts'
import type { Field, Maker } from '../field.ts'

const RETRY_MS = 100
const REPAIR_MS = 30_000
const REMOVAL_MS = 5_000
/** Longer than any other fault lasts, and its healing. */
const FREE_MS = 45_000
/** For somebody to lead who can be asked who is a member. */
const LEADER_MS = 10_000

/** It goes, its disk is lost, and it comes back as a new one. */
export const replace: Maker = async field => {
  const node = await field.victim(0.3)
  if (node === null) return null
  return changing(field, `${node.id} is replaced`, [node], async () => {
    await remove(field, node)
    await add(field, node.id)
  })
}

/** One more for a while; one that could not leave at an earlier time leaves now. */
export const addAndRemove: Maker = field => {
  const id = `node${field.spare}`
  const left = field.agents.cluster.nodes.find(node => node.id === id)
  if (left !== undefined) {
    if (!field.free.includes(left)) return Promise.resolve(null)
    return changing(field, `${id} goes`, [left], () => remove(field, left))
  }
  return changing(field, `${id} comes and goes`, [], async () => {
    const node = await add(field, id)
    await sleep(field.chance.within(0, 3_000))
    await leave(field, node)
  })
}

/** One change at a time; what does not come about because of other faults is put right in the end. */
async function changing(
  field: Field,
  what: string,
  nodes: readonly NodePlace[],
  act: () => Promise<void>,
) {
  if (field.changing) return null
  field.changing = true
  const releases = nodes.map(node => field.take(node))
  const done = act()
    .catch(error => {
      field.tell(`given up: ${what}: ${error instanceof Error ? error.message : error}`)
    })
    .finally(() => {
      field.changing = false
      for (const release of releases) release()
    })
  return { what, heal: () => done }
}

/** Once nothing else is being done to it: what is healed is started again, and it would come back on its own. */
export async function leave(field: Field, node: NodePlace): Promise<void> {
  const release = await field.takeOnceFree(node, FREE_MS)
  try {
    await remove(field, node)
  } finally {
    release()
  }
}

async function remove(field: Field, node: NodePlace): Promise<void> {
  const { agents } = field
  agents.leave(node)
  await agents.cluster.remove(node)
  wipe(node)
}

async function add(field: Field, id: string): Promise<NodePlace> {
  const { agents } = field
  await awaitOutside(agents.cluster, id)
  wipe(anyNodeOf(agents.cluster.place, id))
  const node = await agents.cluster.add(id, { settings: field.settings })
  const release = field.take(node)
  // With a clock of its own from now on.
  await agents.stop(node)
  await agents.start(node)
  release()
  return node
}

/**
 * A disk that counts is not thrown away: an attempt to add this node that failed may have made it a member all the
 * same, whose promises a majority then relies on.
 * @throws Error while it is not certain that it is none
 */
async function awaitOutside(cluster: TestCluster, id: string): Promise<void> {
  const deadline = performance.now() + LEADER_MS
  let members = await membersOf(cluster)
  while (members.length === 0 && performance.now() < deadline) {
    await sleep(RETRY_MS)
    members = await membersOf(cluster)
  }
  if (members.includes(id)) await askToRemove(cluster, id)
  const after = await membersOf(cluster)
  if (after.length === 0) throw new Error(`nobody leads who could say whether ${id} is a member`)
  if (after.includes(id)) throw new Error(`${id} is a member still`)
}

function wipe({ dataDirectory }: NodePlace): void {
  rmSync(dataDirectory, { recursive: true, force: true })
}

/** Founders that could not be added again when something else was wrong. @returns why one could not now */
export async function bringBack(field: Field): Promise<string | null> {
  const { cluster } = field.agents
  let why: string | null = null
  for (let number = 0; number < field.spare; number++) {
    const id = `node${number}`
    if (field.changing || cluster.nodes.some(node => node.id === id)) continue
    const fault = await changing(field, `${id} comes back`, [], () =>
      add(field, id).then(
        () => undefined,
        error => {
          why = `${id} does not come back: ${error instanceof Error ? error.message : error}`
          throw error
        },
      ),
    )
    await fault?.heal()
  }
  return why
}

/** Once nothing else is wrong: who is a member runs, and who is none does not. @throws Error with what keeps it from that */
export async function repairMembers(field: Field, withinMs = REPAIR_MS): Promise<void> {
  const { agents } = field
  const { cluster } = agents
  const deadline = performance.now() + withinMs
  for (;;) {
    await agents.look()
    const members = await membersOf(cluster)
    const strays = members.filter(id => !cluster.nodes.some(node => node.id === id))
    const gone = cluster.nodes.filter(({ id }) => members.length > 0 && !members.includes(id))
    let why = `members ${members.join(' ')}, and ${strays} does not run`
    if (members.length === 0) why = await whyNoLeader(cluster)
    else if (strays.length + gone.length === 0) {
      why = (await bringBack(field)) ?? 'somebody is missing'
      if (cluster.nodes.length >= field.spare) return
    }
    if (performance.now() > deadline) {
      throw new Error(`${withinMs / 1000} s after the last fault was healed: ${why}`)
    }
    for (const id of strays) await askToRemove(cluster, id)
    for (const node of gone) await remove(field, node)
    await sleep(RETRY_MS)
  }
}

/** As the leader knows them; none while there is none. */
async function membersOf(cluster: TestCluster): Promise<readonly string[]> {
  const all = await Promise.all(cluster.nodes.map(agentStatus))
  const leader = all.find(status => status?.role === 'leader' && status.ready)
  return leader?.members.map(({ id }) => id) ?? []
}

async function askToRemove({ nodes }: TestCluster, id: string): Promise<void> {
  for (const node of nodes) {
    const request = { method: 'DELETE', timeoutMs: REMOVAL_MS }
    const answer = await operate(node, `/v1/cluster/members/${id}`, request).catch(() => null)
    if (answer?.status === 200) return
  }
}

/** What each says of itself. */
async function whyNoLeader({ nodes }: TestCluster): Promise<string> {
  const all = await Promise.all(nodes.map(agentStatus))
  const said = all.map((status, at) => {
    const how = status === null ? 'no answer' : `${status.role} in term ${status.term}`
    return `${nodes[at]?.id} ${how}${status?.notReady ? `, ${status.notReady}` : ''}`
  })
  return `nobody leads: ${said.join('; ')}`
}
