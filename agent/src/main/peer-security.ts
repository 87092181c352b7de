import type { Logger } from 'pino'
import { Gauge } from 'prom-client'
import type { Clock } from '../clock/clock.ts'
import type { Config } from '../config.ts'
import { type Credentials, readCredentials } from '../tls/credentials.ts'
import { TlsWire } from '../transport/tls-wire.ts'
import { messageOf } from './fatal.ts'

const DAY_MS = 86_400_000
/** Time enough to make new ones. */
const WARN_MS = 14 * DAY_MS

/**
 * How this agent and its peers know each other; null: they do not. From now on SIGHUP reads the files again: what is
 * broken changes nothing.
 * @throws Error in words for the operator
 */
export function peerSecurity(
  config: Config,
  { logger, clock }: { readonly logger: Logger; readonly clock: Clock },
): TlsWire | null {
  const { peers: files, clusterName: clusterId, nodeId } = config
  if (files === null) {
    process.on('SIGHUP', () => logger.info('SIGHUP: there are no certificates to read again'))
    return null
  }
  const holder = { clusterId, nodeId }
  const wire = new TlsWire(readCredentials(files, holder), holder)
  const warn = () => warnOfEnd(wire.credentials, { logger, nowMs: clock.wallMs() })
  process.on('SIGHUP', () => {
    try {
      wire.replace(readCredentials(files, holder))
      logger.info({ peers: files.kind, expires: expiryOf(wire.credentials) }, 'SIGHUP: read again')
      warn()
    } catch (error) {
      logger.error({ err: error }, `SIGHUP: all stays as it was: ${messageOf(error)}`)
    }
  })
  warn()
  clock.every(DAY_MS, warn)
  publishExpiry(wire)
  return wire
}

function warnOfEnd(
  credentials: Credentials,
  { logger, nowMs }: { readonly logger: Logger; readonly nowMs: number },
): void {
  const expires = expiryOf(credentials)
  if (expires === null || expires.getTime() > nowMs + WARN_MS) return
  const ended = expires.getTime() <= nowMs
  const what = ended ? 'has ended: peers refuse new connections' : 'ends soon'
  const line = `a certificate in peer_tls ${what}; make new ones and send SIGHUP`
  logger[ended ? 'error' : 'warn']({ expires }, line)
}

function publishExpiry(wire: TlsWire): void {
  if (expiryOf(wire.credentials) === null) return
  new Gauge({
    name: 'raft_nginx_peer_certificate_expiry_timestamp_seconds',
    help: 'Unix time at which the certificate for peers ends, or its CA.',
    collect() {
      this.set((expiryOf(wire.credentials)?.getTime() ?? 0) / 1000)
    },
  })
}

function expiryOf(credentials: Credentials): Date | null {
  return credentials.kind === 'certificates' ? credentials.expires : null
}
