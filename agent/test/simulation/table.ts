import type { Input } from '../../src/raft/input.ts'
import { show, showConfiguration, showMessage } from '../raft/show.ts'
import type { SimulatedNode } from './node.ts'
import { play, type Scenario, type TraceEvent } from './world.ts'

const WIDTH = 46

/** The last events of a run, a column a node, a line an event. */
export function tableOf(scenario: Scenario, rowsMax: number): string[] {
  const rows: string[] = []
  const names = [
    ...'abcdefghij'.slice(0, scenario.weather.nodes + scenario.weather.membership.spares),
  ]
  play(scenario, event => {
    if (isIdle(event)) return
    rows.push(rowOf(event, names))
    if (rows.length > rowsMax) rows.shift()
  })
  const head = names.map(name => name.padEnd(WIDTH)).join(' ')
  return [`  tick ${head}`, ...rows]
}

function isIdle({ input, effects }: TraceEvent): boolean {
  return effects.length === 0 && input.kind !== 'receive' && input.kind !== 'persisted'
}

function rowOf({ time, node, input, effects }: TraceEvent, names: readonly string[]): string {
  const { role, term } = node.raft.state
  const said = [inputText(input), ...show(effects).map(line => line.trim())].join('; ')
  const text = `[${role.kind.charAt(0)}${term}] ${said}`
  const before = ' '.repeat((WIDTH + 1) * names.indexOf(node.id))
  return `${String(time).padStart(6)} ${before}${text}`
}

export function nodeText(node: SimulatedNode): string {
  const { configuration, incarnation, raft, log, machine, up, lost } = node
  const { role, term, commit, leader } = raft.state
  const names = showConfiguration(configuration)
  const standing = `${lost ? 'lost ' : ''}${up ? role.kind : 'down'} t${term} under ${leader ?? 'nobody'}`
  const reach = `log ${log.length} commit ${commit} applied ${machine.length}`
  return `${incarnation} ${standing}, ${reach}, members ${names}`
}

function inputText(input: Input): string {
  switch (input.kind) {
    case 'receive':
      return `< ${showMessage(input.message)}`
    case 'propose':
      return `propose ${input.proposals.map(({ id }) => id).join(' ')}`
    case 'read':
      return `read ${input.ids.join(' ')}`
    case 'transfer':
      return `transfer to ${input.to ?? 'anybody'}`
    case 'persisted':
      return `durable ${input.receipt.last.index}@${input.receipt.last.term}`
    case 'applied':
      return `applied ${input.position.index}`
    case 'loaded':
      return `loaded for ${input.to}`
    case 'change':
      return `change: ${input.change.kind}`
    case 'propose-check':
      return 'propose a check'
    case 'compacted':
      return `compacted up to ${input.base.index}`
    case 'snapshot-sent':
      return `snapshot for ${input.to} ${input.ok ? 'sent' : 'lost'}`
    case 'snapshot-installed':
      return `snapshot ${input.position.index} installed`
    case 'forget-leader':
      return 'forget the leader'
    case 'unreachable':
      return `${input.peer} is unreachable`
    case 'stand-aside':
      return 'stand aside'
    case 'tick':
      return 'tick'
  }
}
