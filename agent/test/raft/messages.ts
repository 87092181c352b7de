import { type Configuration, encodeConfiguration } from '../../src/raft/configuration.ts'
import type { Message } from '../../src/raft/message.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type NodeId,
  type SnapshotHeader,
} from '../../src/raft/types.ts'
import { entriesOf } from './entries.ts'

/** Messages to `a` that the tests write themselves. */
interface GrantOf {
  readonly from: string
  readonly term: number
  readonly preVote?: boolean
  readonly granted?: boolean
  readonly commit?: readonly [number, number]
}

export function grant(given: GrantOf): Message {
  const { from, term, preVote = false, granted = true, commit = [0, 0] } = given
  return {
    kind: 'request-vote-reply',
    ...envelope(from, term),
    preVote,
    granted,
    commit: at(commit),
  }
}

interface AskOf {
  readonly from: string
  readonly term: number
  readonly preVote?: boolean
  readonly transfer?: boolean
  /** as whom the candidate's configuration knows `a` */
  readonly incarnation?: string
  /** index and term of the candidate's last entry */
  readonly last?: readonly [number, number]
  readonly commit?: readonly [number, number]
}

export function ask(asked: AskOf): Message {
  const { from, term, preVote = false, transfer = false, incarnation = '' } = asked
  const { last = [0, 0], commit = [0, 0] } = asked
  return {
    kind: 'request-vote',
    ...envelope(from, term),
    preVote,
    transfer,
    incarnation,
    last: at(last),
    commit: at(commit),
  }
}

interface AppendOf {
  readonly from: string
  readonly term: number
  readonly prev?: readonly [number, number]
  /** the term of each entry */
  readonly entries?: readonly number[]
  /** what the last of them brings; default: it is a command */
  readonly configuration?: Configuration
  readonly commit?: number
}

export function append(sent: AppendOf): Message {
  const { from, term, prev = [0, 0], entries: terms = [], configuration, commit = 0 } = sent
  const entries = entriesOf(terms, prev[0])
  const last = entries.pop()
  if (last !== undefined && configuration === undefined) entries.push(last)
  else if (last !== undefined && configuration !== undefined) {
    entries.push({ ...last, kind: 'configuration', payload: encodeConfiguration(configuration) })
  }
  return {
    kind: 'append-entries',
    ...envelope(from, term),
    prev: at(prev),
    entries,
    commit: asLogIndex(commit),
  }
}

interface BeatOf {
  readonly from: string
  readonly term: number
  readonly commit?: number
  readonly context?: number
}

export function beat({ from, term, commit = 0, context = 0 }: BeatOf): Message {
  return { kind: 'heartbeat', ...envelope(from, term), commit: asLogIndex(commit), context }
}

/** @param lacking the snapshot that it needs, from which index on */
export function alive(from: string, term: number, context = 0, lacking = 0): Message {
  return { kind: 'heartbeat-reply', ...envelope(from, term), context, lacking: asLogIndex(lacking) }
}

interface RoundOf {
  readonly from: string
  readonly term: number
  readonly context: number
}

export function askIndex({ from, term, context }: RoundOf): Message {
  return { kind: 'read-index', ...envelope(from, term), context }
}

export function tellIndex({ from, term, context, index }: RoundOf & { index: number }): Message {
  return { kind: 'read-index-reply', ...envelope(from, term), context, index: asLogIndex(index) }
}

export function timeoutNow(from: string, term: number): Message {
  return { kind: 'timeout-now', ...envelope(from, term) }
}

export function snapshot(from: string, term: number, header: SnapshotHeader): Message {
  return { kind: 'install-snapshot', ...envelope(from, term), header }
}

export function matched(from: string, term: number, match: number): Message {
  return { kind: 'append-entries-reply', ...envelope(from, term), match: asLogIndex(match) }
}

interface RefusalOf {
  readonly from: string
  readonly term: number
  readonly prevIndex: number
  readonly hint: readonly [number, number]
}

export function refusal({ from, term, prevIndex, hint }: RefusalOf): Message {
  return {
    kind: 'append-entries-refusal',
    ...envelope(from, term),
    prevIndex: asLogIndex(prevIndex),
    hint: at(hint),
  }
}

function envelope(from: string, term: number): { from: NodeId; to: NodeId; term: Message['term'] } {
  return { from: asNodeId(from), to: asNodeId('a'), term: asTerm(term) }
}

const at = ([index, term]: readonly [number, number]) => ({
  index: asLogIndex(index),
  term: asTerm(term),
})
