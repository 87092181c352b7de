/** A cluster on this machine: see `USAGE`. */

import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { agentPid } from './lib/agent-server.ts'
import { type NodePlace, nodeOf, type Place } from './lib/layout.ts'
import { add, anyNodeOf, remove } from './lib/membership.ts'
import {
  down,
  kill,
  killGateway,
  pause,
  reloadGateway,
  resume,
  start,
  startNginx,
  stop,
  up,
  wipe,
} from './lib/operations.ts'
import {
  existingDirectory,
  existingPlace,
  SHAPE_HELP,
  SHAPE_OPTIONS,
  UsageError,
  wantedPlace,
} from './lib/options.ts'
import { restoreCluster } from './lib/restoration.ts'
import { statusText, viewCluster } from './lib/status.ts'

const USAGE = `A raft-nginx cluster on this machine: nodes node0, node1, ..., each an agent and its nginx.

usage: cluster up [options]         start what does not run; returns when the cluster is ready
       cluster down [--data DIR]    end everything; the data stays
       cluster status [--data DIR] [--json]
       cluster kill NODE            kill -9 of its agent
       cluster stop NODE            SIGTERM to its agent
       cluster start NODE           returns when the agent is ready
       cluster pause | resume NODE  SIGSTOP, SIGCONT
       cluster wipe NODE            end its agent and remove its data
       cluster add NODE [--edge]    a new node joins; returns when it votes, as an edge when it is fed
       cluster restore FILE [options]
                                    a new cluster, made of a backup; its nodes have no data yet
       cluster remove NODE          the cluster lets it go; then its processes are ended, its data stays
       cluster kill-nginx | start-nginx | reload-nginx NODE

options:
${SHAPE_HELP}

Exit status: 0 done, 1 failed, 2 bad usage.
`

type Values = ReturnType<typeof parse>['values']
type Command = (place: Place, id: string, values: Values) => Promise<string> | string

/** For a node that belongs to the cluster. */
function member(act: (place: Place, node: NodePlace) => Promise<string> | string): Command {
  return (place, id) => act(place, nodeOf(place, id))
}

const NODE_COMMANDS: Readonly<Record<string, Command>> = {
  kill: member(async (_, node) =>
    (await kill(node)) ? `${node.id} is killed` : `${node.id} did not run`,
  ),
  stop: member(async (_, node) => stopped(node)),
  start: member(async (place, node) => started(place, node)),
  pause: member((_, node) => {
    pause(node)
    return `${node.id} is paused`
  }),
  resume: member((_, node) => {
    resume(node)
    return `${node.id} goes on`
  }),
  wipe: async (place, id) => {
    await wipe(anyNodeOf(place, id))
    const done = `${id} is stopped and its data removed`
    if (!place.nodes.some(node => node.id === id)) return done
    return `${done}; as long as it is a member the others refuse it as a stranger:\ncluster remove ${id}, then cluster add ${id}`
  },
  add: async (place, id, { edge = false }) => {
    const next = await add(place, id, { edge })
    return `${id} ${edge ? 'is fed' : 'votes'}\n${statusText(await viewCluster(next))}`
  },
  remove: async (place, id) => {
    const next = await remove(place, id)
    return `${id} has left\n${statusText(await viewCluster(next))}`
  },
  'kill-nginx': member(async (_, node) =>
    (await killGateway(node)) ? `nginx of ${node.id} is killed` : `nginx of ${node.id} did not run`,
  ),
  'start-nginx': member(async (place, node) =>
    (await startNginx(place, node))
      ? `nginx of ${node.id} runs`
      : `nginx of ${node.id} runs already`,
  ),
  'reload-nginx': member(async (place, node) => {
    await reloadGateway(place, node)
    return `nginx of ${node.id} is reloaded`
  }),
}

process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  try {
    console.log(await perform(args))
    return 0
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    console.error(`cluster: ${text}`)
    if (!(error instanceof UsageError)) return 1
    console.error(`\n${USAGE}`)
    return 2
  }
}

async function perform(args: readonly string[]): Promise<string> {
  const { values, positionals } = parse(args)
  if (values.help) return USAGE
  const [name = '', nodeId, ...more] = positionals
  if (more.length > 0) throw new UsageError(`too many words: ${more.join(' ')}`)
  if (values.edge && name !== 'add') throw new UsageError('--edge belongs to add')
  const command = Object.hasOwn(NODE_COMMANDS, name) ? NODE_COMMANDS[name] : undefined
  if (command !== undefined) {
    if (nodeId === undefined) throw new UsageError(`${name} needs a node, such as node0`)
    return command(existingPlace(values.data), nodeId, values)
  }
  if (name === 'restore') return restored(nodeId, values)
  if (nodeId !== undefined) throw new UsageError(`${name} takes no ${nodeId}`)
  switch (name) {
    case 'up':
      return bringUp(values)
    case 'down':
      return end(values.data)
    case 'status': {
      const view = await viewCluster(existingPlace(values.data))
      return values.json ? JSON.stringify(view, null, 2) : statusText(view)
    }
    default:
      throw new UsageError(name === '' ? 'a command is missing' : `there is no command ${name}`)
  }
}

function parse(args: readonly string[]) {
  const options = {
    ...SHAPE_OPTIONS,
    json: { type: 'boolean' },
    edge: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function bringUp(values: Values): Promise<string> {
  const place = wantedPlace(values)
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => interrupt.abort(new Error(`given up at ${signal}`)))
  }
  const { began, refused } = await up(place, { signal: interrupt.signal })
  const strangers = refused.map(
    ({ node: { id }, reason }) =>
      `${id} takes no part: ${reason}\nTo let it in as a new one: cluster remove ${id}, cluster wipe ${id}, cluster add ${id}\n`,
  )
  const text = strangers.join('') + statusText(await viewCluster(place))
  return began ? `ready\n${text}` : `runs already\n${text}`
}

async function restored(file: string | undefined, values: Values): Promise<string> {
  if (file === undefined) throw new UsageError('restore needs a file')
  const place = await restoreCluster(wantedPlace(values), resolve(file))
  return `restored\n${statusText(await viewCluster(place))}`
}

async function end(data: string | undefined): Promise<string> {
  const directory = existingDirectory(data)
  const count = directory === null ? 0 : await down(directory)
  return count === 0 ? 'nothing ran' : `${count} processes ended; the data is in ${directory}`
}

async function stopped(node: NodePlace): Promise<string> {
  const how = await stop(node)
  if (how === 'killed') throw new Error(`${node.id} did not stop at SIGTERM, so it was killed`)
  return how === 'ended' ? `${node.id} is stopped` : `${node.id} did not run`
}

async function started(place: Place, node: NodePlace): Promise<string> {
  const how = await start(place, node)
  if (how === 'ready') return `${node.id} is ready`
  if (how === 'ran') return `${node.id} runs already`
  const running = place.nodes.filter(other => agentPid(other) !== null).length
  return `${node.id} answers; no leader with ${running} of ${place.nodes.length} agents`
}
