import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { collectDefaultMetrics } from 'prom-client'
import type { Clock } from './clock/clock.ts'
import { SystemClock } from './clock/system-clock.ts'
import { type Config, readConfig } from './config.ts'
import { edgeFiller } from './gateway/edge.ts'
import { withoutKeys } from './http/exchange.ts'
import { startJoining } from './http/join-client.ts'
import { startHttp } from './http/server.ts'
import { Expirer } from './lifetimes/expirer.ts'
import { systemDisk } from './log/disk.ts'
import { loadOrCreateIdentity } from './log/identity-file.ts'
import type { LogStore } from './log/log-store.ts'
import { MemoryLogStore } from './log/memory-log-store.ts'
import { SegmentLogStore } from './log/segment-log-store.ts'
import { SnapshotStore } from './log/snapshot-store.ts'
import { type Chosen, chooseMachine } from './machine/registry.ts'
import { crashAt, parsePlannedCrash, type Reach } from './node/fault-points.ts'
import type { Recording } from './node/flight-recorder.ts'
import { RaftNode } from './node/node.ts'
import type { NodeOptions, SnapshotOptions } from './node/node-options.ts'
import { encodeFlightLog } from './node/recording-file.ts'
import type { Identity } from './raft/types.ts'
import { foreignNames, isOwnDamage, repairOf } from './repair/agent-repair.ts'
import { markDamaged, QuarantineFile } from './repair/quarantine-file.ts'
import { type Rejoin, readRejoin } from './repair/rejoin.ts'
import { newestSetAside } from './repair/set-aside.ts'
import {
  FilePeerIdentities,
  MemoryPeerIdentities,
  type PeerIdentities,
} from './transport/peer-identities.ts'
import { TcpTransport } from './transport/tcp-transport.ts'
import type { Contact } from './transport/transport.ts'

const USAGE = `The agent of one raft-nginx node: Raft, its log, and the state machine.

usage: node agent/dist/main.js --config FILE [--inmem]

  --config FILE   JSON; every setting can be overridden by RAFT_NGINX_<SETTING> in the environment
  --inmem         keep log and data in memory; the loss of a majority at once loses the data
  --version
  --help

For tests: RAFT_NGINX_FAIL=POINT:kill@N in the environment ends the agent, as kill -9 does, when it reaches that
point for the Nth time, such as persist:after:kill@5.

Logs JSON lines on stdout. SIGTERM and SIGINT stop it cleanly.
Exit status: 0 stopped, 1 failed while starting or running, 2 bad usage or configuration.
`

/** Another member takes over in a few round trips, or is not there. */
const HAND_OVER_TIMEOUT_MS = 700

/** Ends the process when a clean stop hangs. */
const STOP_TIMEOUT_MS = 1_800

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string }

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
  const around = { clock, contact, logger, reach, quarantine }
  const { node, served, machine, expirer, edge, join } = await startNode(config, around)
  expirer?.start()
  collectDefaultMetrics()
  const http = await startHttp({
    ...served,
    server: config.server,
    limits: config.limits,
    version,
    log: logger,
  })
  const { listen: raft } = config.transport
  logger.info({ version, machine, ...config.server, raft }, 'serving')
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
      : startJoining({ ...join, id, raftBind: contact.raftBind, node, clock, log: logger })

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
    await http.close()
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
}

/** With a disk that is mended on the way, where that can be done. */
async function startNode(config: Config, around: Surroundings) {
  const { clock, logger } = around
  const repair = config.inMemory ? null : repairOf(config, { clock, log: logger })
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

async function makeNode(
  config: Config,
  { clock, contact, logger, reach, quarantine }: Surroundings,
) {
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
    transport: new TcpTransport({
      identity,
      contact,
      listen: config.transport.listen,
      identities,
      clock,
      log: (level, line) => logger[level](line),
      seed,
      limits: {
        handshakeMs: config.transport.timeoutSec * 1000,
        silentPingsMax: config.transport.timeoutSec,
      },
    }),
    clock,
    logger,
    seed,
    electionTimeoutMs: config.electionTimeoutMs,
    heartbeatIntervalMs: config.heartbeatIntervalMs,
    commitTimeoutMs: config.commitTimeoutMs,
    checkIntervalMs: config.checkIntervalMs,
    onQuarantine: () => quarantine.abort(),
    ...(config.inMemory ? {} : { quarantine: new QuarantineFile(config.raftDir) }),
    // What is in memory is not to be trusted any more, so nothing is closed in good order.
    onFatal: (error: unknown, recording: Recording | null) => {
      const flightLog =
        recording === null ? null : saveFlightLog(config, recording, messageOf(error))
      if (isOwnDamage(config, error)) markDamaged(config.raftDir, messageOf(error))
      logger.fatal({ err: error, flightLog }, `stopped: ${messageOf(error)}`)
      process.exit(1)
    },
    reach,
  }
  const made = nodeOf(chosen, options)
  const { served } = made
  const { socket, prefixes } = config.edge
  const edge =
    socket === null || !('feed' in served)
      ? null
      : edgeFiller({
          socket,
          prefixes,
          feed: served.feed,
          identity,
          life,
          node: served.node,
          clock,
          logger,
        })
  const backup = {
    snapshot: () => chosen.machine.snapshot(),
    directory: config.inMemory ? null : config.raftDir,
    clusterId: identity.clusterId,
  }
  const unstarted = { identity, machine: chosen.machine }
  const all = { ...served, backup, edge: edge === null ? null : () => edge.status() }
  return { ...made, served: all, machine: chosen.name, edge, join, unstarted }
}

function configuration(): Config {
  const usage = (problem: string): never => {
    process.stderr.write(`${problem}\n\n${USAGE}`)
    process.exit(2)
  }
  const { config: file, inmem, version: wantsVersion, help } = commandLine(usage)
  if (help || wantsVersion) {
    process.stdout.write(help ? USAGE : `${version}\n`)
    process.exit(0)
  }
  if (file === undefined) return usage('--config FILE is missing')
  const overrides = inmem ? { in_memory: true } : {}
  const result = readConfig({ file, env: process.env, overrides })
  if (result.kind === 'config') return result.config
  process.stderr.write(`${result.faults.join('\n')}\n`)
  return process.exit(2)
}

/** Nobody sets it but a test; what is wrong there must not pass for a test that found nothing. */
function plannedCrash(): Reach {
  const { RAFT_NGINX_FAIL: text } = process.env
  if (text === undefined) return () => {}
  const planned = parsePlannedCrash(text)
  if (planned === null) {
    process.stderr.write(`RAFT_NGINX_FAIL: must be POINT:kill@N, not ${text}\n`)
    return process.exit(2)
  }
  return crashAt(planned, () => process.kill(process.pid, 'SIGKILL'))
}

function commandLine(usage: (problem: string) => never) {
  try {
    return parseArgs({
      options: {
        config: { type: 'string' },
        inmem: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    return usage(messageOf(error))
  }
}

/** The node of a machine, and what its HTTP serves. */
function nodeOf(chosen: Chosen, options: Omit<NodeOptions<never, unknown>, 'machine'>) {
  if (chosen.kind === 'keys') {
    const node = new RaftNode({ ...options, machine: chosen.machine })
    const { clock, logger } = options
    const feed = chosen.changes
    const expirer = new Expirer({ node, feed, clock, logger })
    return { node, served: { node, feed }, expirer }
  }
  const node = new RaftNode({ ...options, machine: chosen.machine })
  const { name, routes } = chosen
  const plugIn = { name, routes, query: (query: Uint8Array) => node.query(query) }
  return { node, served: { node: withoutKeys(node), plugIn }, expirer: null }
}

/** What the node keeps, and who it is because of it. */
async function storageOf(config: Config): Promise<{
  readonly identity: Identity
  readonly identities: PeerIdentities
  /** nobody else was ever met that could have what is lost here */
  readonly alone: boolean
  readonly log: LogStore
  /** where snapshots are kept */
  readonly snapshots: string
  readonly chosen: Chosen
  /** how it came back, where it gave up what it was */
  readonly rejoin: Rejoin | null
  /** changes when what the machine held was given up */
  readonly life: string
}> {
  const name = { clusterId: config.clusterName, nodeId: config.nodeId }
  if (config.inMemory) {
    return {
      // A new one for each process: it has forgotten what the one before it promised.
      identity: { ...name, incarnation: randomUUID() },
      identities: new MemoryPeerIdentities(),
      alone: false,
      log: new MemoryLogStore(),
      snapshots: directoryOfThisProcess(),
      chosen: await chooseMachine(config.machine, { directory: null }),
      rejoin: null,
      life: '',
    }
  }
  const rejoin = await readRejoin(systemDisk, config.raftDir)
  // What a node left when it gave up what it was tells nothing of the past.
  const expected = rejoin === null ? foreignNames(config) : await systemDisk.list(config.raftDir)
  const identity = await loadOrCreateIdentity(config.raftDir, name, randomUUID, { expected })
  const identities = await FilePeerIdentities.open(config.raftDir)
  return {
    identity,
    identities,
    alone: !identities.hasMetPeers,
    log: new SegmentLogStore({ directory: config.log.dir, mustExist: identities.hasMetPeers }),
    snapshots: join(config.raftDir, 'snapshots'),
    chosen: await chooseMachine(config.machine, { directory: config.raftDir }),
    rejoin,
    life: await newestSetAside(systemDisk, config.raftDir),
  }
}

/** A snapshot is a file, of a node in memory too. */
function directoryOfThisProcess(): string {
  const directory = mkdtempSync(join(tmpdir(), 'raft-nginx-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function snapshotsOf(config: Config, directory: string, logger: pino.Logger): SnapshotOptions {
  const { enabled, intervalSec, threshold, retain } = config.snapshot
  const onDamage = (words: string) => logger.warn(words)
  return {
    store: new SnapshotStore({ directory, retain, onDamage }),
    enabled,
    intervalMs: intervalSec * 1000,
    threshold,
    trailing: config.log.trailingLogs,
  }
}

/** What this node tells its peers of itself. */
function contactOf({ nodes, nodeId }: Config): Contact {
  const own = nodes.find(node => node.id === nodeId)
  if (own === undefined) throw new Error(`${nodeId} is not one of the nodes`)
  const { address, raftBind, gateway } = own
  return { address, raftBind, gateway }
}

/** Returns where; null when it cannot be written: a disk that failed is why it may be tried. */
function saveFlightLog(config: Config, recording: Recording, error: string): string | null {
  const directory = config.inMemory ? tmpdir() : config.raftDir
  const file = join(directory, `flight-${config.nodeId}-${Date.now()}.json`)
  try {
    writeFileSync(file, encodeFlightLog({ ...recording, version, error }), { mode: 0o600 })
    return file
  } catch {
    return null
  }
}

/** With its causes, where they say more. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause === undefined) return error.message
  const cause = messageOf(error.cause)
  return error.message.includes(cause) ? error.message : `${error.message}: ${cause}`
}
