/** Hosts that do not hear each other, hear half of it, or late. */

import type { NodePlace } from '../../../lib/layout.ts'
import type { Hosts, Link } from '../../../net/hosts.ts'
import type { Field, Maker } from '../field.ts'

const LOSS_PERCENT = { min: 5, max: 40 }
/** The narrow link: what waits there is late by up to so much, ms, and some is lost. */
const NARROW = { kbitMin: 120, kbitMax: 1_000, ms: 400 }
const DELAY_MS = { min: 20, max: 150 }
/** Below this there is no bisecting: one side is one host. */
const MANY = 4

export const partition: Maker = async field => {
  const { hosts, chance } = field
  const nodes = field.agents.cluster.nodes
  if (hosts === null || nodes.length < 2) return null
  const one = (await field.agents.leader()) ?? chance.oneOf(nodes)
  const first = chance.happens(0.6) ? one : chance.oneOf(nodes)
  const others = nodes.filter(({ id }) => id !== first.id)
  const { links, what } = shape(field, first, others)
  return { what, heal: await hosts.trouble(links, { kind: 'cut' }) }
}

interface Shape {
  readonly links: readonly Link[]
  readonly what: string
}

function shape({ chance }: Field, first: NodePlace, others: readonly NodePlace[]): Shape {
  const another = chance.oneOf(others)
  const drawn = chance.within(0, 99)
  if (drawn < 30) return { links: both([first], others), what: `${first.id} is cut off` }
  if (drawn < 45) return { links: oneWay([first], others), what: `nobody hears ${first.id}` }
  if (drawn < 60) return { links: oneWay(others, [first]), what: `${first.id} hears nobody` }
  if (drawn < 70) {
    return { links: oneWay([first], [another]), what: `${another.id} does not hear ${first.id}` }
  }
  if (drawn < 80 || others.length + 1 < MANY) {
    return { links: both([first], [another]), what: `no link of ${first.id} and ${another.id}` }
  }
  const rest = others.filter(({ id }) => id !== another.id)
  if (drawn < 90) {
    const links = both([first, another], rest)
    return { links, what: `${first.id} and ${another.id} are cut off from the others` }
  }
  // One in the middle hears both halves, which do not hear each other.
  const half = rest.slice(0, Math.ceil(rest.length / 2))
  const links = both([another, ...half], rest.slice(half.length))
  return { links, what: `only ${first.id} hears both halves` }
}

export const loss: Maker = async field => {
  const { hosts, chance } = field
  const nodes = field.agents.cluster.nodes
  if (hosts === null || nodes.length < 2) return null
  const node = chance.oneOf(nodes)
  const others = nodes.filter(({ id }) => id !== node.id)
  const percent = chance.within(LOSS_PERCENT.min, LOSS_PERCENT.max)
  const heal = await hosts.trouble(both([node], others), { kind: 'loss', percent })
  return { what: `${percent} % of what ${node.id} sends and receives is lost`, heal }
}

export const narrow: Maker = async field => {
  const { hosts, chance } = field
  if (hosts === null) return null
  const node = free(hosts, field)
  if (node === null) return null
  const kbit = chance.within(NARROW.kbitMin, NARROW.kbitMax)
  const heal = await hosts.narrow(node.id, kbit, NARROW.ms)
  return { what: `${node.id} receives ${kbit} kbit/s`, heal }
}

export const delay: Maker = async field => {
  const { hosts, chance } = field
  if (hosts === null) return null
  const node = free(hosts, field)
  if (node === null) return null
  const ms = chance.within(DELAY_MS.min, DELAY_MS.max)
  const heal = await hosts.delay(node.id, ms)
  return { what: `${node.id} is ${ms} ms away`, heal }
}

export const unplug: Maker = async field => {
  const { hosts } = field
  const node = await field.victim()
  if (hosts === null || node === null) return null
  return { what: `the cable of ${node.id} is out`, heal: await hosts.unplug(node.id) }
}

/** A cable takes one shape at a time. */
function free(hosts: Hosts, { agents, chance }: Field): NodePlace | null {
  const nodes = agents.cluster.nodes.filter(({ id }) => !hosts.isShaped(id))
  return nodes.length === 0 ? null : chance.oneOf(nodes)
}

function oneWay(from: readonly NodePlace[], to: readonly NodePlace[]): Link[] {
  return from.flatMap(a => to.map(b => ({ from: a.id, to: b.id })))
}

function both(left: readonly NodePlace[], right: readonly NodePlace[]): Link[] {
  return [...oneWay(left, right), ...oneWay(right, left)]
}
