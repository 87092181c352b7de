import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Recording } from '../node/flight-recorder.ts'
import { encodeFlightLog, type FlightLog } from '../node/recording-file.ts'
import { isOwnDamage } from '../repair/agent-repair.ts'
import { markDamaged } from '../repair/quarantine-file.ts'

/**
 * Ends the process once its node has failed. What is in memory is not to be trusted any more, so nothing is
 * closed in good order.
 */
export function ending(
  config: Config,
  { logger, version }: { readonly logger: Logger; readonly version: string },
): (error: unknown, recording: Recording | null) => never {
  return (error, recording) => {
    const words = messageOf(error)
    const flight = recording === null ? null : { ...recording, version, error: words }
    const flightLog = flight === null ? null : saveFlightLog(config, flight)
    if (isOwnDamage(config, error)) markDamaged(config.raftDir, words)
    logger.fatal({ err: error, flightLog }, `stopped: ${words}`)
    return process.exit(1)
  }
}

/** Returns where; null when it cannot be written: a disk that failed is why it may be tried. */
function saveFlightLog(config: Config, flight: FlightLog): string | null {
  const directory = config.inMemory ? tmpdir() : config.raftDir
  const file = join(directory, `flight-${config.nodeId}-${Date.now()}.json`)
  try {
    writeFileSync(file, encodeFlightLog(flight), { mode: 0o600 })
    return file
  } catch {
    return null
  }
}

/** With its causes, where they say more. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause === undefined) return error.message
  const cause = messageOf(error.cause)
  return error.message.includes(cause) ? error.message : `${error.message}: ${cause}`
}
