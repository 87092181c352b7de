import { type Configuration, decodeConfiguration } from '../../src/raft/configuration.ts'
import type { Effect, Persist } from '../../src/raft/effect.ts'
import type { Message } from '../../src/raft/message.ts'
import type { Entry, LogPosition } from '../../src/raft/types.ts'

/** Effects as lines of text, every field of them, so that a test compares whole values and stays readable. */
export function show(effects: readonly Effect[]): string[] {
  return effects.flatMap(showEffect)
}

/** `from→to what tTERM …`; a position is `index@term`. */
export function showMessage(message: Message): string {
  return `${message.from}→${message.to} ${body(message)}`
}

function body(message: Message): string {
  const { term } = message
  switch (message.kind) {
    case 'request-vote':
      return `${vote(message)}? t${term} last ${position(message.last)}${known(message)}`
    case 'request-vote-reply':
      return `${vote(message)} t${term} ${message.granted ? 'yes' : 'no'}${known(message)}`
    case 'append-entries':
      return `append t${term} after ${position(message.prev)}:${list(message.entries)} commit ${message.commit}`
    case 'append-entries-reply':
      return `match t${term} ${message.match}`
    case 'append-entries-refusal':
      return `refuse t${term} prev ${message.prevIndex} hint ${position(message.hint)}`
    case 'heartbeat':
      return `beat t${term} commit ${message.commit}${round(message)}`
    case 'heartbeat-reply':
      return `alive t${term}${round(message)}${needs(message)}`
    case 'read-index':
      return `read-index? t${term}${round(message)}`
    case 'read-index-reply':
      return `read-index t${term} ${message.index}${round(message)}`
    case 'install-snapshot':
      return `snapshot t${term} ${position(message.header.position)}`
    case 'timeout-now':
      return `timeout-now t${term}`
  }
}

function vote(message: { readonly preVote: boolean; readonly transfer?: boolean }): string {
  if (message.preVote) return 'pre-vote'
  return message.transfer === true ? 'vote-at-once' : 'vote'
}

/** What the sender knows to be committed, if anything. */
const known = ({ commit }: { readonly commit: LogPosition }): string =>
  commit.index === 0 ? '' : ` commit ${position(commit)}`

/** Rounds of reads are numbered from a place that a boot draws: only the count within the boot is shown. */
const round = ({ context }: { readonly context: number }): string =>
  context === 0 ? '' : ` round ${context % 2 ** 20}`

const needs = ({ lacking }: { readonly lacking: number }): string =>
  lacking === 0 ? '' : ` needs a snapshot from ${lacking} on`

export const position = ({ index, term }: LogPosition): string => `${index}@${term}`

/** A command shows its payload, a no-op a star, a configuration its members, a check a question. */
export function showEntry(entry: Entry): string {
  if (entry.kind === 'no-op') return `${position(entry)}*`
  if (entry.kind === 'check') return `${position(entry)}?`
  if (entry.kind === 'configuration') {
    return `${position(entry)}[${showConfiguration(decodeConfiguration(entry.payload))}]`
  }
  const text = Buffer.from(entry.payload).toString()
  return text === '' ? position(entry) : `${position(entry)}=${text}`
}

/** `a b c+ d. e- (a b e)`: voters, learners +, edges ., leaving -, and the outgoing voters. */
export function showConfiguration({ members, outgoing }: Configuration): string {
  const marks = { voter: '', learner: '+', edge: '.', leaving: '-' }
  const names = members.map(({ id, role }) => `${id}${marks[role]}`).join(' ')
  return outgoing.length === 0 ? names : `${names} (${outgoing.join(' ')})`
}

const list = (entries: readonly Entry[]): string =>
  entries.map(each => ` ${showEntry(each)}`).join('')

function showEffect(effect: Effect): string[] {
  switch (effect.kind) {
    case 'send':
      return [showMessage(effect.message)]
    case 'persist':
      return [showPersist(effect), ...effect.whenDurable.map(each => `  then ${showMessage(each)}`)]
    case 'load':
      return [
        `load for ${effect.to} t${effect.term} ${effect.from}..${effect.upTo} max ${effect.bytesMax}`,
      ]
    case 'apply':
      return [
        `apply ${effect.from}..${effect.upTo}:${effect.entries === null ? ' from disk' : list(effect.entries)}`,
      ]
    case 'accepted':
      return [`accepted ${position(effect.first)}: ${effect.ids.join(' ')}`]
    case 'send-snapshot':
      return [`send snapshot to ${effect.to} from ${effect.atLeast} on`]
    case 'install-snapshot':
      return [
        `install ${position(effect.header.position)}`,
        ...effect.whenInstalled.map(each => `  then ${showMessage(each)}`),
      ]
    case 'unchanged':
      return [`unchanged: ${effect.id}`]
    case 'read-ready':
      return [`read at ${effect.index}: ${effect.ids.join(' ')}`]
    case 'reject':
      return [`reject ${effect.reason}: ${effect.ids.join(' ')}`]
  }
}

function showPersist({ sync, hardState, truncateFrom, entries, receipt }: Persist): string {
  const { term, vote, commit } = hardState
  // A receipt that differs from its write would be a bug of its own: shown only then.
  const attests =
    receipt.term === term && receipt.vote === vote ? '' : ` as t${receipt.term} ${receipt.vote}`
  const cut = truncateFrom === null ? '' : ` cut ${truncateFrom}`
  const add = entries.length === 0 ? '' : ` add${list(entries)}`
  return `${sync ? 'write' : 'await'} t${term} vote ${vote} commit ${commit}${cut}${add} last ${position(receipt.last)}${attests}`
}
