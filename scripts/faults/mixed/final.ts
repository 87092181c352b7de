/** What has to hold in the end, when everything is healed. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { type TestCluster, until } from '../../../agent/test/cluster/harness.ts'
import { judge } from '../../../agent/test/simulation/linearizability.ts'
import type { Operation } from '../../../agent/test/simulation/model.ts'
import { agentStatus } from '../../lib/agent-server.ts'
import { gatewayErrorLog } from '../../lib/gateway-server.ts'
import { grouped } from '../../lib/grouped.ts'
import type { NodePlace } from '../../lib/layout.ts'
import { type Row, textIn } from './clients.ts'
import type { Ledger } from './record.ts'

const CONVERGED_MS = 60_000
/** In the whole state of a node. */
const READ_PATH = '/v1/kv/?recurse&stale'

/** What a node has. */
export interface Shown {
  readonly node: NodePlace
  readonly rows: readonly Row[]
}

/** Until all nodes have applied the same, and show it: the same rows, and the same hash over all that led to them. */
export async function converge(cluster: TestCluster, ledger: Ledger): Promise<readonly Shown[]> {
  let found: readonly Shown[] = []
  let differing = 'nobody answers'
  await until(
    'all nodes are ready, and have applied and show the same',
    async () => {
      const states = await Promise.all(cluster.nodes.map(node => stateOf(cluster, node)))
      const indexes = new Set(states.map(state => state?.index))
      if (states.includes(null) || indexes.size > 1) {
        differing = `indexes ${[...indexes].join(' ')}`
        return false
      }
      found = states.flatMap(state => state ?? [])
      return true
    },
    CONVERGED_MS,
  ).catch(error => {
    throw new Error(`${error instanceof Error ? error.message : error}: ${differing}`)
  })
  compare(found as readonly State[], ledger)
  return found
}

interface State extends Shown {
  readonly index: number
  readonly hash: string
  readonly body: string
}

/** Null while it is not ready, or goes on. */
async function stateOf(cluster: TestCluster, node: NodePlace): Promise<State | null> {
  const before = await agentStatus(node)
  const { status, body } = await cluster.agent(node).get(READ_PATH)
  const after = await agentStatus(node)
  if (before?.ready !== true || after === null || status !== 200) return null
  const { index, hash } = after.chain
  if (before.appliedIndex !== after.appliedIndex || after.appliedIndex !== after.commitIndex) {
    return null
  }
  return { node, rows: JSON.parse(body) as readonly Row[], index, hash, body }
}

function compare(states: readonly State[], ledger: Ledger): void {
  const [first] = states
  for (const each of states) {
    if (first === undefined || each === first) continue
    const where = `${first.node.id} and ${each.node.id} at index ${each.index}`
    if (each.hash !== first.hash) ledger.violation(`the chains of ${where} differ`)
    if (each.body === first.body) continue
    const known = new Set(first.rows.map(row => JSON.stringify(row)))
    const other = each.rows.find(row => !known.has(JSON.stringify(row)))
    ledger.violation(`the rows of ${where} differ: ${JSON.stringify(other)}`)
  }
}

/** Reads of the very end: what each node has, for whoever judges the whole. */
export function lastReads(shown: readonly Shown[], keys: readonly string[]): Operation[] {
  const called = performance.now()
  return shown.flatMap(({ rows }) => {
    const byKey = new Map(rows.map(row => [row.Key, row]))
    return keys.map((key): Operation => {
      const row = byKey.get(key)
      const value = row === undefined ? null : textIn(row)
      const cells = [{ value, index: row?.ModifyIndex ?? null }]
      const answer = { kind: 'seen', cells } as const
      return { action: { kind: 'get', keys: [key] }, called, returned: called + 1, answer }
    })
  })
}

/** Group by group, so that one that is wrong hides no other. */
export function checkLinearizable(ledger: Ledger, operations: readonly Operation[]): void {
  for (const [group, members] of grouped(operations, groupOf)) {
    const verdict = judge(members)
    if (verdict.kind === 'linearizable') continue
    const text =
      verdict.kind === 'undecided'
        ? `too many possibilities, of ${members.length} operations`
        : `nothing explains ${JSON.stringify(verdict.at)}; open: ${JSON.stringify(verdict.open)}`
    ledger.violation(`${group} is not linearizable: ${text}`)
  }
}

/** Registers of a pair are tied: `r/7/a` and `r/7/b`. */
function groupOf({ action }: Operation): string {
  const key =
    action.kind === 'get'
      ? action.keys[0]
      : action.kind === 'put'
        ? action.pairs[0]?.[0]
        : action.key
  return (key ?? '').startsWith('r/') ? (key ?? '').replace(/[^/]*$/, '') : (key ?? '')
}

/** Of the databases of agents that have ended. */
export function checkDatabases(nodes: readonly NodePlace[], ledger: Ledger): number {
  let count = 0
  for (const { id, dataDirectory } of nodes) {
    if (!existsSync(dataDirectory)) continue
    for (const name of readdirSync(dataDirectory).filter(each => each.endsWith('.sqlite'))) {
      count += 1
      const database = new Database(join(dataDirectory, name))
      const found = database.pragma('integrity_check', { simple: true })
      database.close()
      if (found !== 'ok') ledger.violation(`${name} of ${id}: ${found}`)
    }
  }
  return count
}

/** What an assertion that failed leaves in the log of an agent. */
const ASSERTION = /assertion failed|AssertionError/i
/** What nginx says of itself when it is in trouble, a killed worker aside. */
const NGINX_TROUBLE = /\[(?:alert|emerg)\](?!.*exited on signal 9)/

export function checkLogs(nodes: readonly NodePlace[], ledger: Ledger): void {
  for (const node of nodes) {
    for (const [file, pattern] of [
      [node.agentLog, ASSERTION],
      [gatewayErrorLog(node), NGINX_TROUBLE],
    ] as const) {
      if (!existsSync(file)) continue
      const lines = readFileSync(file, 'utf8').split('\n')
      const line = lines.find(each => pattern.test(each))
      if (line !== undefined) ledger.violation(`${file}: ${line.slice(0, 400)}`)
    }
  }
}
