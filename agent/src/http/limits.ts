/** What a client may ask of one agent. Sizes in bytes, times in ms. */
export interface HttpLimits {
  readonly keyBytesMax: number
  readonly valueBytesMax: number
  readonly bodyBytesMax: number
  /** of the bodies of all requests together, from their first byte to the end of their answer */
  readonly bodiesBytesMax: number
  /** of what operators and joining nodes send */
  readonly operatorBodyBytesMax: number
  /** how long the leader's agent may take for what is passed on to it; above the commit deadline */
  readonly passOnMs: number
  /** names in one JSON body */
  readonly namesMax: number
  /** how long `X-Raft-Min-Index` may wait; below nginx's `proxy_read_timeout` of 15 s */
  readonly minIndexWaitMs: number
  /** A linearizable read that the leader has not confirmed after so long is refused, ms. */
  readonly consistentWaitMs: number
  /** of the whole head; one header or the target may have half of it */
  readonly headBytesMax: number
  /** until a request's head is complete; a connection that sends nothing ends then too */
  readonly headTimeoutMs: number
  /** until a request is complete */
  readonly requestTimeoutMs: number
  /** above nginx's upstream `keepalive_timeout` of 55 s, so that nginx is the one to close */
  readonly keepAliveMs: number
  /** on each listener */
  readonly connectionsMax: number
  /** watches and blocking queries that one agent serves at a time */
  readonly followersMax: number
  /** A backup whose reader takes nothing for so long is cut, ms. */
  readonly backupStallMs: number
  /** how long `close()` lets running requests finish */
  readonly closeGraceMs: number
  /** Before that, kept connections are told with their next answer that they end, ms. */
  readonly closeDrainMs: number
}

/** A slow client is gone within 10 s: the timeouts are looked at once a second. */
export const HTTP_LIMITS: HttpLimits = {
  keyBytesMax: 512,
  valueBytesMax: 512 * 1024,
  bodyBytesMax: 1024 * 1024,
  bodiesBytesMax: 64 * 1024 * 1024,
  operatorBodyBytesMax: 16 * 1024,
  passOnMs: 15_000,
  namesMax: 1000,
  minIndexWaitMs: 5000,
  consistentWaitMs: 5000,
  headBytesMax: 16 * 1024,
  headTimeoutMs: 8000,
  requestTimeoutMs: 8900,
  keepAliveMs: 75_000,
  connectionsMax: 4096,
  followersMax: 2048,
  backupStallMs: 30_000,
  closeGraceMs: 500,
  closeDrainMs: 150,
}
