import { dirname } from 'node:path'
import type { NodePlace } from '../../lib/layout.ts'

/** Where the file system of a node is mounted: above its data, which may be removed. */
export function diskOf({ dataDirectory }: NodePlace): string {
  return dirname(dataDirectory)
}
