/** Where a machine may keep files. */
export interface PlugInPlace {
  /** A directory that exists; null keeps everything in memory. */
  readonly directory: string | null
}
