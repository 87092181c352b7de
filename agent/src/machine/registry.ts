import { existsSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { readIfThere, replaceDurably } from '../os/durable-file.ts'
import type { ChangeFeed } from './kv/change-feed.ts'
import { KvMachine } from './kv/kv-machine.ts'
import type { KvAnswer, KvQuery } from './kv/query.ts'
import { LevelMachine } from './level/level-machine.ts'
import type { PlugInAnswer, Routes } from './plug-in/host.ts'
import { adapted, createPlugIn, importModule } from './plug-in/module.ts'
import type { PlugInPlace } from './plug-in/place.ts'
import { SqlMachine } from './sql/sql-machine.ts'
import type { StateMachine } from './state-machine.ts'

/** The machine of this node: one of keys, served by the routes of keys, or one with routes of its own. */
export type Chosen =
  | {
      readonly kind: 'keys'
      readonly name: string
      readonly machine: StateMachine<KvQuery, KvAnswer>
      /** what it changed lately */
      readonly changes: ChangeFeed
    }
  | {
      readonly kind: 'plug-in'
      readonly name: string
      readonly machine: StateMachine<Uint8Array, PlugInAnswer>
      readonly routes: Routes | null
    }

/** The machine that serves where nothing else was chosen. */
export const DEFAULT_MACHINE = 'sqlite-kv'

type Make = (place: PlugInPlace) => Chosen | Promise<Chosen>

const SHIPPED: Readonly<Record<string, Make>> = {
  'sqlite-kv': ({ directory }) => {
    const file = directory === null ? null : join(directory, 'kv.sqlite')
    const machine = new KvMachine({ file })
    return { kind: 'keys', name: 'sqlite-kv', machine, changes: machine.changes }
  },
  sql: place => {
    const machine = new SqlMachine(place)
    return { kind: 'plug-in', name: machine.name, machine, routes: machine.routes }
  },
  'level-kv': place => {
    const machine = new LevelMachine(place)
    return { kind: 'plug-in', name: machine.name, machine, routes: machine.routes }
  },
}

/**
 * Makes the machine that was chosen: by the name of one that ships, or by the path of a module, absolute,
 * that exports `createMachine`. Nothing is opened yet.
 * @throws in words for whoever wrote the setting, when there is no such machine, or the data is another's
 */
export async function chooseMachine(chosen: string, place: PlugInPlace): Promise<Chosen> {
  const make = Object.hasOwn(SHIPPED, chosen) ? SHIPPED[chosen] : undefined
  const machine = make === undefined ? await plugInAt(chosen, place) : await make(place)
  if (place.directory !== null) await bindDirectory(place.directory, machine.name)
  return machine
}

async function plugInAt(path: string, place: PlugInPlace): Promise<Chosen> {
  const known = `the machines that ship are ${Object.keys(SHIPPED).join(', ')}`
  if (!isAbsolute(path))
    throw new Error(`machine: there is no ${path}; ${known}, a module has a path`)
  if (!existsSync(path)) throw new Error(`machine: there is no module ${path}; ${known}`)
  const plugIn = createPlugIn(path, await importModule(path), place)
  const { name, routes } = plugIn
  const machine = adapted(plugIn, place)
  return {
    kind: 'plug-in',
    name,
    machine,
    routes: routes === undefined ? null : host => routes.call(plugIn, host),
  }
}

/**
 * How the names of its files begin, behind which there is a dot or a hyphen or nothing: those of the machine that
 * this directory is bound to, open or not.
 */
export async function machineFilesIn(directory: string): Promise<string> {
  const stored = await readIfThere(join(directory, 'machine'))
  const name = stored === null ? DEFAULT_MACHINE : Buffer.from(stored).toString().trim()
  return { 'sqlite-kv': 'kv.sqlite', sql: 'sql.sqlite' }[name] ?? name
}

/** Entries of one machine mean nothing to another: a directory is bound to the one that it began with. */
async function bindDirectory(directory: string, name: string): Promise<void> {
  const file = join(directory, 'machine')
  const stored = await readIfThere(file)
  const before =
    stored !== null
      ? Buffer.from(stored).toString().trim()
      : existsSync(join(directory, 'kv.sqlite'))
        ? DEFAULT_MACHINE
        : null
  if (before === null) await replaceDurably(file, Buffer.from(`${name}\n`))
  else if (before !== name) {
    throw new Error(
      `machine: ${directory} holds the data of ${before}, not of ${name}; a cluster keeps the machine that it began with`,
    )
  }
}
