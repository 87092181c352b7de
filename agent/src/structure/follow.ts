/** The loop of a companion: waits for changes, lets them gather, and has them taken. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { StructureReport } from '../http/structure-view.ts'
import type { Companion, Tree } from './companion.ts'

/** The agent beside this nginx. */
export interface Agent {
  /**
   * All keys, once their index is another than `after`, or else after `waitMs`; nothing older than what was answered to
   * anybody before the call.
   * @throws Error with words for the operator
   */
  tree(after: number | null, waitMs: number): Promise<Tree>
  /** @throws Error when it did not arrive, or is not wanted */
  report(report: StructureReport): Promise<void>
}

/** ms, but for the last. */
export interface Pace {
  /** changes gather for so long */
  readonly batchMs: number
  /** between two reloads at least: each leaves old workers behind */
  readonly intervalMs: number
  /** what was refused is tried again: the reason may have been another */
  readonly retryMs: number
  /** between two reports at most */
  readonly reportMs: number
  /** no reload while so many old workers still have clients */
  readonly drainingMax: number
}

export const PACE: Pace = {
  batchMs: 100,
  intervalMs: 1_000,
  retryMs: 30_000,
  reportMs: 5_000,
  drainingMax: 16,
}

const WAIT_MS = 30_000
const PAUSE_MS = 500
const REPORT_GAP_MS = 50

export interface FollowOptions {
  readonly companion: Companion
  readonly agent: Agent
  readonly pace: Pace
  readonly draining: () => number
  /** one line for the log */
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

/** Until the signal. Whatever the agent does, nginx goes on with what it has. */
export async function follow(options: FollowOptions): Promise<void> {
  const { companion, pace, signal } = options
  let seen: number | null = null
  let triedAt = Number.NEGATIVE_INFINITY
  while (!signal.aborted) {
    const isDue = () => companion.isUnsettled && performance.now() >= triedAt + pace.retryMs
    const restMs = triedAt + pace.retryMs - performance.now()
    const tree = await next(options, seen, companion.isUnsettled ? restMs : WAIT_MS)
    if (signal.aborted) return
    if (tree === null) {
      // what comes next is looked at, changed or not
      triedAt = Number.NEGATIVE_INFINITY
      continue
    }
    if (tree.index === seen && !isDue()) continue
    const newest: Tree = tree.index === seen ? tree : await gathered(options, tree, triedAt)
    if (signal.aborted) return
    seen = newest.index
    await take(companion, newest)
    triedAt = performance.now()
  }
}

/** A disk that is full, or a file that is in the way, is no reason to end: nginx goes on, and so does this. */
async function take(companion: Companion, tree: Tree): Promise<void> {
  try {
    await companion.take(tree)
  } catch (error) {
    companion.blocked(`not written: ${error instanceof Error ? error.message : error}`)
  }
}

/** Null: there was none, which is told. */
async function next(
  { companion, agent, signal }: FollowOptions,
  seen: number | null,
  waitMs: number,
): Promise<Tree | null> {
  try {
    return await agent.tree(seen, Math.max(0, Math.min(waitMs, WAIT_MS)))
  } catch (error) {
    if (signal.aborted) return null
    companion.blocked(`no keys: ${error instanceof Error ? error.message : error}`)
    await rest(PAUSE_MS, signal)
    return null
  }
}

/** What there is once it is this companion's turn. */
async function gathered(options: FollowOptions, tree: Tree, lastAt: number): Promise<Tree> {
  options.companion.pending(tree.index, 'changes gather')
  await turn(options, { index: tree.index, lastAt })
  return options.agent.tree(null, 0).catch(() => tree)
}

/** Until what came with the change is there, the last reload is long enough ago, and most of its old workers are gone. */
async function turn(
  { companion, pace, draining, signal }: FollowOptions,
  { index, lastAt }: { readonly index: number; readonly lastAt: number },
): Promise<void> {
  await rest(pace.batchMs, signal)
  await rest(lastAt + pace.intervalMs - performance.now(), signal)
  while (!signal.aborted) {
    const old = draining()
    if (old < pace.drainingMax) return
    companion.pending(index, `${old} old workers still have clients: see worker_shutdown_timeout`)
    await rest(pace.intervalMs, signal)
  }
}

/** Tells the agent of every change, and that the companion lives. */
export async function keepReporting({
  companion,
  agent,
  pace,
  changed,
  say,
  signal,
}: Omit<FollowOptions, 'draining'> & {
  /** resolves at the next change of the report */
  readonly changed: () => Promise<void>
}): Promise<void> {
  let silent = ''
  while (!signal.aborted) {
    companion.observe()
    const next = changed()
    try {
      await agent.report(companion.report())
      silent = ''
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error)
      if (!signal.aborted && words !== silent) say(`not reported: ${words}`)
      silent = words
    }
    // Changes come in bursts.
    await rest(REPORT_GAP_MS, signal)
    await Promise.race([next, rest(pace.reportMs, signal)])
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => {})
}
