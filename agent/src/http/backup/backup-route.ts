import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { NodeStatus } from '../../node/node-api.ts'
import { parseDuration } from '../consul/duration.ts'
import type { Api, Exchange } from '../exchange.ts'
import { raftHeaders } from '../headers.ts'
import { type Level, levelProblem } from '../levels.ts'
import { isRefusal, type Refusal, refuse } from '../refusal.ts'
import { type Problem, problemReply, type Reply } from '../reply.ts'
import { type Backups, type Copy, NoSpace, piecesOf } from './backups.ts'

const BUSY: Problem = {
  status: 429,
  code: 'TOO_MANY_BACKUPS',
  detail: 'this node is sending a backup already: one at a time',
  retryable: true,
}
const NO_SPACE: Problem = {
  status: 507,
  code: 'NO_SPACE',
  detail: "a copy would leave too little of this node's disk: ask another node",
  retryable: false,
}

/**
 * `GET /v1/cluster/backup`: all that this node has applied, as one file. A copy is made first, beside the data;
 * so the machine waits for no reader, and the head tells the digest.
 * @returns why not; null once it was sent, or its reader has left
 */
export async function serveBackup(
  api: Api,
  exchange: Exchange,
  outgoing: ServerResponse,
): Promise<Reply | Refusal | null> {
  const { backups } = api
  if (backups === null) return refuse(501, 'NO_BACKUP', 'this agent gives no backups')
  const problem = objection(api.node.status())
  if (problem !== null) return problem
  const level = levelOf(exchange)
  if (isRefusal(level)) return level
  const end = backups.begin()
  if (end === null) return problemReply(BUSY, api.node.status())
  const left = new AbortController()
  const leave = () => left.abort()
  outgoing.once('close', leave)
  try {
    const late = await levelProblem(api, level)
    if (late !== null) return problemReply(late, api.node.status())
    return await send(api, backups, { outgoing, signal: left.signal, end })
  } catch (error) {
    if (left.signal.aborted || outgoing.headersSent) {
      api.log.warn({ err: error }, 'a backup was not sent whole')
      return null
    }
    if (error instanceof NoSpace) return problemReply(NO_SPACE, api.node.status())
    // What was copied was replaced meanwhile.
    const reason = objection(api.node.status())
    if (reason === null) throw error
    return reason
  } finally {
    outgoing.off('close', leave)
    end()
  }
}

/** A file without what the cluster holds would pass for a backup of it. */
function objection(status: NodeStatus): Refusal | null {
  const { quarantine, snapshots, appliedIndex, firstIndex, members } = status
  const no = (detail: string) => refuse(503, 'NOT_SERVING', detail)
  if (quarantine !== null) return no(`this node is ${quarantine}`)
  if (snapshots.installing || appliedIndex + 1 < firstIndex) {
    return no('this node waits for a snapshot from the leader: ask another node')
  }
  return members.length === 0 ? no('this node waits to be added to the cluster') : null
}

/** Without a word a node answers from what it has; its index is in the head. */
function levelOf({ target: { query }, head: { minIndex } }: Exchange): Level | Refusal {
  const bound = query.get('max_stale')
  const maxStaleMs = bound === undefined ? null : parseDuration(bound)
  if (bound !== undefined && maxStaleMs === null) {
    return refuse(400, 'BAD_DURATION', 'max_stale is a duration like 500ms or 5s')
  }
  return { consistent: query.has('consistent'), minIndex, maxStaleMs }
}

interface Sending {
  readonly outgoing: ServerResponse
  /** left */
  readonly signal: AbortSignal
  readonly end: () => void
}

/** The place is free before the last piece leaves: who has all of it may come again at once. */
async function* withEnd({ file, bytes }: Copy, end: () => void): AsyncGenerator<Buffer> {
  let sent = 0
  for await (const piece of piecesOf(file)) {
    sent += piece.length
    if (sent >= bytes) end()
    yield piece
  }
}

async function send(api: Api, backups: Backups, { outgoing, signal, end }: Sending): Promise<null> {
  const began = performance.now()
  const copy = await backups.copy(signal)
  const { applied, file, bytes } = copy
  try {
    outgoing.shouldKeepAlive = false
    // Without progress for so long its reader has stalled: the connection is cut.
    outgoing.setTimeout(api.limits.backupStallMs)
    outgoing.writeHead(200, headersOf(api, backups.clusterId, copy))
    await pipeline(withEnd(copy, end), outgoing, { signal })
    const ms = Math.round(performance.now() - began)
    api.log.info({ index: applied.index, bytes, ms }, 'a backup was sent')
    return null
  } finally {
    await file.close()
  }
}

function headersOf(api: Api, clusterId: string, copy: Copy): Record<string, string> {
  const { applied, bytes, sha256, isSqlite } = copy
  const status = api.node.status()
  const cluster = clusterId.replace(/[^A-Za-z0-9._-]/g, '_')
  const extension = isSqlite ? 'sqlite' : 'image'
  return {
    ...raftHeaders(status, applied.index),
    'X-Raft-Term': String(applied.term),
    'Content-Type': isSqlite ? 'application/vnd.sqlite3' : 'application/octet-stream',
    'Content-Length': String(bytes),
    'Content-Disposition': `attachment; filename="${cluster}-${applied.index}.${extension}"`,
    ETag: `"${sha256.toString('hex')}"`,
    // RFC 9530
    'Repr-Digest': `sha-256=:${sha256.toString('base64')}:`,
    'Cache-Control': 'no-store',
  }
}
