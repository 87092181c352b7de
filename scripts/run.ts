/** A cluster in the foreground: see `USAGE`. */

import { parseArgs } from 'node:util'
import { followCluster } from './lib/follow.ts'
import { agentUrl, defaultDirectory, gatewayUrl, type Place } from './lib/layout.ts'
import { down, isRunning, up } from './lib/operations.ts'
import { SHAPE_HELP, SHAPE_OPTIONS, UsageError, wantedPlace } from './lib/options.ts'

const USAGE = `Starts a raft-nginx cluster and stays in the foreground. Ctrl-C stops everything; the data stays, and the next run has it.

usage: run [options]

${SHAPE_HELP}
`

process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  try {
    const { help, ...values } = parse(args)
    if (help) {
      console.log(USAGE)
      return 0
    }
    return await runCluster(wantedPlace(values))
  } catch (error) {
    console.error(`run: ${error instanceof Error ? error.message : error}`)
    if (!(error instanceof UsageError)) return 1
    console.error(`\n${USAGE}`)
    return 2
  }
}

function parse(args: readonly string[]) {
  const options = { ...SHAPE_OPTIONS, help: { type: 'boolean', short: 'h' } } as const
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function runCluster(place: Place): Promise<number> {
  if (isRunning(place)) {
    const advice = 'scripts/cluster status shows it, scripts/cluster down ends it'
    throw new Error(`a cluster runs in ${place.directory} already: ${advice}`)
  }
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // a second Ctrl-C must not end this before the cluster has ended
    process.on(signal, () => interrupt.abort(new Error('stopped while starting')))
  }
  console.log(`starting ${place.nodes.length} nodes`)
  try {
    const { refused } = await up(place, { signal: interrupt.signal })
    for (const { node, reason } of refused) console.log(`${node.id} takes no part: ${reason}`)
    console.log(welcome(place))
    await followCluster(place, interrupt.signal)
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
  } finally {
    console.log('stopping')
    await down(place.directory)
  }
  console.log(`stopped; the data is in ${place.directory}`)
  return 0
}

function welcome(place: Place): string {
  const { nodes, shape } = place
  const urls = nodes.map(node => (shape.nginx ? gatewayUrl(node) : agentUrl(node)))
  const shown = urls.map(url => url.replace('http://127.0.0.1', 'localhost'))
  const at = (index: number) => shown[index % shown.length] ?? ''
  const data = place.directory === defaultDirectory() ? '' : ` --data ${place.directory}`
  const gateways = nodes.map(
    (node, index) => `  ${node.id}  ${urls[index]}  agent ${agentUrl(node)}  log ${node.agentLog}`,
  )
  return `
raft-nginx is ready.

${gateways.join('\n')}
  data  ${place.directory}${shape.inMemory ? ' (in memory: gone at the end)' : ''}

Try, in another terminal:

  curl -XPOST ${at(0)}/key -d '{"user1": "batman"}'
  curl ${at(0)}/key/user1
  curl ${at(1)}/key/user1
  curl -XPOST ${at(1)}/key -d '{"user2": "robin"}'
  curl -XDELETE ${at(2)}/key/user2
  curl ${at(0)}/raft
  scripts/cluster status${data}
  scripts/cluster kill node0${data}

Ctrl-C stops all of it.
`
}
