/** A new CA and new certificates of all agents, step by step, while other things happen to them. */

import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { agentPid } from '../../../lib/agent-server.ts'
import type { NodePlace } from '../../../lib/layout.ts'
import { anyNodeOf } from '../../../lib/membership.ts'
import { catches, isPaused, signalGroup } from '../../../lib/processes.ts'
import type { Field, Maker } from '../field.ts'

/** For an agent to start, and for its answer to SIGHUP, ms. */
const REREAD_MS = 20_000
const POLL_MS = 20
const REREAD = 'SIGHUP: read again'

export const rotate: Maker = async field => {
  const { certificates } = field
  if (certificates === null || field.rotating) return null
  field.rotating = true
  const done = certificates
    .rotate(() => rereadAll(field))
    .finally(() => {
      field.rotating = false
    })
  // What it throws is told when it is healed.
  done.catch(() => undefined)
  return { what: 'a new CA, and certificates by it', heal: () => done }
}

/** Also whoever waits to be added, and is none of the cluster's nodes yet: nobody would know it later. */
async function rereadAll({ agents, spare }: Field): Promise<void> {
  const { place } = agents.cluster
  const all = Array.from({ length: spare + 1 }, (_, at) => anyNodeOf(place, `node${at}`))
  await Promise.all(all.map(reread))
}

/** Whoever does not run reads them when it starts; whoever stands still has the signal waiting for it. */
async function reread(node: NodePlace): Promise<void> {
  const pid = agentPid(node)
  if (pid === null) return
  let deadline = performance.now() + REREAD_MS
  const ended = () => agentPid(node) !== pid
  while (!catches(pid, 'SIGHUP')) {
    if (ended()) return
    // Before it listens the signal would end it.
    if (isPaused(pid)) deadline = performance.now() + REREAD_MS
    if (performance.now() > deadline) throw new Error(`${node.id} does not listen to SIGHUP`)
    await sleep(POLL_MS)
  }
  const { size } = statSync(node.agentLog)
  signalGroup(pid, 'SIGHUP')
  while (!textFrom(node.agentLog, size).includes(REREAD)) {
    if (ended() || isPaused(pid)) return
    if (performance.now() > deadline) throw new Error(`${node.id} reads nothing at SIGHUP`)
    await sleep(POLL_MS)
  }
}

function textFrom(file: string, offset: number): string {
  const descriptor = openSync(file, 'r')
  const found = Buffer.alloc(statSync(file).size - offset)
  readSync(descriptor, found, 0, found.length, offset)
  closeSync(descriptor)
  return found.toString()
}
