import { type RequestOptions, request } from 'node:http'
import type { Socket } from 'node:net'
import { type HostPort, parseHostPort } from '../lib/host-port.ts'
import { type Answer, answerOf, ask } from './ask.ts'

/** An agent, as far as it is known: `host:port` each. */
export interface AgentAddress {
  readonly address: string
  readonly raftBind?: string
}

export type AgentRequest = Pick<RequestOptions, 'method' | 'path' | 'headers'> & {
  readonly signal: AbortSignal
}

/** Asks another agent for what only agents and operators may ask. Rejects when no whole answer comes. */
export type AskAgent = (to: AgentAddress, request: AgentRequest, body: string) => Promise<Answer>

/** Where agents do not know each other: on the operators' port. */
export const askPlainly: AskAgent = ({ address }, request, body) =>
  ask({ ...parseHostPort(address), ...request }, body)

/** Opens a connection to the port for agents, on which each end knows the other for a node of this cluster. */
export type DialAgent = (to: HostPort, onOpen: (socket: Socket) => void) => Socket

/**
 * Where agents know each other: on the port for agents. An agent of which only the operators' port is known is asked
 * there who leads: a lie would lead to somebody who cannot prove to be an agent.
 * @param known of the configuration
 */
export function askProven(dial: DialAgent, known: readonly Required<AgentAddress>[]): AskAgent {
  const raftBindOf = async ({ address, raftBind }: AgentAddress, signal: AbortSignal) => {
    const found = raftBind ?? known.find(node => node.address === address)?.raftBind
    return found ?? leaderAt(address, signal)
  }
  return async (to, { signal, ...options }, body) => {
    const host = parseHostPort(await raftBindOf(to, signal))
    if (host === null) throw new Error(`${to.address} has no address for agents`)
    const createConnection = (
      _: unknown,
      created: (error: Error | null, socket: Socket) => void,
    ) => {
      const socket = dial(host, open => created(null, open))
      socket.once('error', error => created(error, socket))
      signal.addEventListener('abort', () => socket.destroy())
      return undefined
    }
    return answerOf(body, ({ headers }) => {
      const all = { ...options.headers, ...headers }
      return request({ ...options, headers: all, signal, createConnection })
    })
  }
}

/** That of the leader, which anybody is told. */
async function leaderAt(address: string, signal: AbortSignal): Promise<string> {
  const where = { ...parseHostPort(address), method: 'GET', path: '/v1/status/leader', signal }
  const { status, body } = await ask(where, '')
  const leader: unknown = status === 200 ? JSON.parse(body) : null
  if (typeof leader === 'string' && leader !== '') return leader
  throw new Error(`it knows no leader (status ${status})`)
}
