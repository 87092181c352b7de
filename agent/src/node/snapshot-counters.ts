/** What became of snapshots since the start. */
export class SnapshotCounters {
  /** from the own machine */
  built = 0
  /** whole, to another node */
  sent = 0
  /** whole and found good, from another node */
  received = 0
  /** builds, transfers and receptions that came to nothing */
  failed = 0
  /** of files, repeated ones included */
  bytesSent = 0
  /** of files, those that were taken */
  bytesReceived = 0
}
