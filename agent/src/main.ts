import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { collectDefaultMetrics } from 'prom-client'
import { aclSource } from './acl/source.ts'
import type { Clock } from './clock/clock.ts'
import { SystemClock } from './clock/system-clock.ts'
import type { Config } from './config.ts'
import { type EdgeSettings, edgeFiller } from './gateway/edge.ts'
import { askPlainly } from './http/ask-agent.ts'
import { withoutKeys } from './http/exchange.ts'
import { startJoining } from './http/join-client.ts'
import { startHttp } from './http/server.ts'
import { StructureDesk } from './http/structure-view.ts'
import { Expirer } from './lifetimes/expirer.ts'
import type { Chosen } from './machine/registry.ts'
import { configuration, plannedCrash, version } from './main/command-line.ts'
import { ending, messageOf } from './main/fatal.ts'
import { type PeerDoors, peerDoors } from './main/peer-doors.ts'
import { relayOf } from './main/relay.ts'
import { sparing } from './main/sparing.ts'
import { snapshotsOf, storageOf } from './main/storage.ts'
import type { Reach } from './node/fault-points.ts'
import { RaftNode } from './node/node.ts'
import type { NodeOptions } from './node/node-options.ts'
import { repairOf } from './repair/agent-repair.ts'
import { QuarantineFile } from './repair/quarantine-file.ts'
import { TcpTransport, type TcpTransportOptions } from './transport/tcp-transport.ts'
import type { Contact } from './transport/transport.ts'

/** Another member takes over in a few round trips, or is not there. */
const HAND_OVER_TIMEOUT_MS = 700

/** Ends the process when a clean stop hangs. */
const STOP_TIMEOUT_MS = 1_800

await main()

async function main(): Promise<void> {
  const config = configuration()
  const reach = plannedCrash()
  const logger = pino({ level: config.log.level, base: { node: config.nodeId } })
  try {
    await runAgent(config, { logger, reach })
  } catch (error) {
    logger.fatal({ err: error }, `cannot start: ${messageOf(error)}`)
    process.exit(1)
  }
}

/** Whom the whole process tells. */
interface Told {
  readonly logger: pino.Logger
  readonly reach: Reach
}

async function runAgent(config: Config, { logger, reach }: Told): Promise<void> {
  const clock = new SystemClock()
  const contact = contactOf(config)
  const quarantine = new AbortController()
  const doors = peerDoors(config, { clock, logger })
  const around = { clock, contact, logger, reach, quarantine, doors }
  const { node, served, machine, expirer, edge, join } = await startNode(config, around)
  expirer?.start()
  collectDefaultMetrics()
  const relay = await relayOf(config, doors, node)
  const http = await startHttp({
    ...served,
    node: sparing(config, served.node, { clock, logger }),
    relay: relay !== null,
    server: config.server,
    limits: config.limits,
    version,
    log: logger,
    askAgent: doors.ask,
    peersOpen: config.peersOpen,
  })
  doors.opened(http)
  const between = { raft: config.transport.listen, peers: config.peers?.kind ?? 'unproven' }
  logger.info({ version, machine, ...config.server, ...between }, 'serving')
  const standAside = () => {
    http.endWatches()
    void edge?.forget()
  }
  quarantine.signal.addEventListener('abort', standAside)
  if (node.status().quarantine === null) edge?.start()
  else standAside()
  const { nodeId: id } = config
  const stopJoining =
    join === null
      ? () => {}
      : startJoining({
          ...join,
          id,
          raftBind: contact.raftBind,
          node,
          clock,
          log: logger,
          ask: doors.ask ?? askPlainly,
        })

  let stopping = false
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return
    stopping = true
    logger.info({ signal }, 'stopping')
    clock.after(STOP_TIMEOUT_MS, () => {
      logger.error(
        'a clean stop takes too long: what is fsynced stays, the rest was never acknowledged',
      )
      process.exit(1)
    })
    stopJoining()
    expirer?.stop()
    await edge?.stop()
    await node.handOver(HAND_OVER_TIMEOUT_MS)
    await Promise.all([relay?.close(), http.close()])
    await node.stop()
    logger.info('stopped')
    process.exit(0)
  }
  process.on('SIGTERM', signal => void stop(signal))
  process.on('SIGINT', signal => void stop(signal))
}

/** What the parts of this agent share. */
interface Surroundings extends Told {
  readonly clock: Clock
  readonly contact: Contact
  /** Aborted when this node's machine is found to be wrong. */
  readonly quarantine: AbortController
  readonly doors: PeerDoors
}

/** With a disk that is mended on the way, where that can be done. */
async function startNode(config: Config, around: Surroundings) {
  const { clock, logger, doors } = around
  const ask = doors.ask ?? askPlainly
  const repair = config.inMemory ? null : repairOf(config, { clock, log: logger, ask })
  for (;;) {
    await repair?.before()
    const made = await makeNode(config, around)
    try {
      await made.node.start()
      return made
    } catch (error) {
      // Of what was opened; why it could not go on is what counts.
      await Promise.allSettled([made.node.stop()])
      if (repair === null) throw error
      await repair.after(error, made.unstarted)
    }
  }
}

async function makeNode(config: Config, around: Surroundings) {
  const { clock, contact, logger, reach, quarantine } = around
  const { identity, identities, alone, log, snapshots, chosen, rejoin, life } =
    await storageOf(config)
  const join = rejoin ?? config.join
  const seed = randomBytes(4).readUInt32LE()
  const options = {
    identity,
    contact,
    founders: join === null ? config.nodes : null,
    alone,
    log,
    snapshots: snapshotsOf(config, snapshots, logger),
    transport: transportOf(config, around, { identity, identities, seed }),
    clock,
    logger,
    seed,
    electionTimeoutMs: config.electionTimeoutMs,
    heartbeatIntervalMs: config.heartbeatIntervalMs,
    commitTimeoutMs: config.commitTimeoutMs,
    checkIntervalMs: config.checkIntervalMs,
    onQuarantine: () => quarantine.abort(),
    ...(config.inMemory ? {} : { quarantine: new QuarantineFile(config.raftDir) }),
    onFatal: ending(config, { logger, version }),
    reach,
  }
  const made = nodeOf(chosen, options, config.inMemory ? null : config.raftDir)
  const { served } = made
  const { desk: structure, reserved } = structureOf(config)
  const about = { except: reserved, identity, life, clock, logger }
  const edge = served.acl === undefined ? null : edgeOf(config, { ...about, ...served })
  const backup = {
    snapshot: () => chosen.machine.snapshot(),
    directory: config.inMemory ? null : config.raftDir,
    clusterId: identity.clusterId,
  }
  const unstarted = { identity, machine: chosen.machine }
  const all = { ...served, backup, edge: edge && (() => edge.status()), structure, reserved }
  return { ...made, served: all, machine: chosen.name, edge, join, unstarted }
}

/** Who fills the memory of this machine's nginx; null where it keeps nothing. */
function edgeOf({ edge }: Config, parts: Omit<EdgeSettings, 'socket' | 'prefixes'>) {
  const { socket, prefixes } = edge
  return socket === null ? null : edgeFiller({ ...parts, socket, prefixes })
}

function transportOf(
  { transport: { listen, timeoutSec } }: Config,
  { clock, contact, logger, doors }: Surroundings,
  own: Pick<TcpTransportOptions, 'identity' | 'identities' | 'seed'>,
): TcpTransport {
  return new TcpTransport({
    ...own,
    contact,
    listen,
    clock,
    wire: doors.wire,
    onHttp: doors.onHttp,
    log: (level, line) => logger[level](line),
    limits: { handshakeMs: timeoutSec * 1000, silentPingsMax: timeoutSec },
  })
}

/** What becomes of the keys that are nginx's configuration, where there are any. */
function structureOf({ structure: { enabled, prefix, gatewayAccess } }: Config) {
  const reserved = enabled && !gatewayAccess ? Buffer.from(prefix) : null
  return { desk: enabled ? new StructureDesk(prefix) : null, reserved }
}

/** The node of a machine, and what its HTTP serves. */
function nodeOf(
  chosen: Chosen,
  options: Omit<NodeOptions<never, unknown>, 'machine'>,
  directory: string | null,
) {
  if (chosen.kind === 'keys') {
    const { machine, changes: feed } = chosen
    const node = new RaftNode({ ...options, machine })
    const { clock, logger } = options
    const acl = aclSource({ machine, feed, wallMs: () => clock.wallMs(), directory })
    const expirer = new Expirer({ node, feed, clock, logger })
    return { node, served: { node, feed, acl }, expirer }
  }
  const node = new RaftNode({ ...options, machine: chosen.machine })
  const { name, routes } = chosen
  const plugIn = { name, routes, query: (query: Uint8Array) => node.query(query) }
  return { node, served: { node: withoutKeys(node), plugIn }, expirer: null }
}

/** What this node tells its peers of itself. */
function contactOf({ nodes, nodeId }: Config): Contact {
  const own = nodes.find(node => node.id === nodeId)
  if (own === undefined) throw new Error(`${nodeId} is not one of the nodes`)
  const { address, raftBind, gateway } = own
  return { address, raftBind, gateway }
}
