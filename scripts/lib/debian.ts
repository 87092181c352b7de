import { existsSync, readFileSync } from 'node:fs'

const LISTS = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list']

/** Where this machine's own packages come from; null: it does not say. */
export function debianMirror(): string | null {
  for (const file of LISTS) {
    if (!existsSync(file)) continue
    const found = /^(?:URIs:|deb)\s.*?(https?:\/\/\S+)/m.exec(readFileSync(file, 'utf8'))?.[1]
    if (found !== undefined) return found
  }
  return null
}
