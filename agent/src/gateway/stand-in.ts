import { existsSync, readdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'

/**
 * Makes `to` stand in for the directory of nginx's main file, to which relative names in a configuration refer: what
 * is there and not in `to` is linked.
 */
export function linkOthers(from: string, to: string, except: (name: string) => boolean): void {
  for (const name of readdirSync(from)) {
    const link = path.join(to, name)
    if (!except(name) && !existsSync(link)) symlinkSync(path.join(from, name), link)
  }
}
