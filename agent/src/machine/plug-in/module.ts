import { pathToFileURL } from 'node:url'
import type { StateMachine } from '../state-machine.ts'
import { MemoryMachineAdapter } from './adapter.ts'
import type { PlugInAnswer, Routes } from './host.ts'
import type { MemoryMachine } from './memory-machine.ts'
import type { PlugInPlace } from './place.ts'

/** A machine that keeps its own files, and its position in them: see `StateMachine`. */
export interface DurableMachine extends StateMachine<Uint8Array, PlugInAnswer> {
  readonly name: string
  readonly routes?: Routes
}

/** What a module exports as `createMachine`: a new machine at each call. */
export type CreateMachine = (place: PlugInPlace) => MemoryMachine | DurableMachine

const NAME = /^[a-z0-9-]{1,32}$/
const OF_MEMORY = ['apply', 'query', 'snapshot', 'restore'] as const
const OF_DURABLE = [
  ...['open', 'apply', 'query', 'durablePosition', 'checkpoint', 'applied'],
  ...['snapshot', 'inspect', 'restore', 'close'],
] as const

/**
 * Loads a module, which may be anybody's.
 * @throws Error that says what to do
 */
export async function importModule(path: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(path).href)
  } catch (cause) {
    const advice = /\.[cm]?ts$/.test(path) ? ': TypeScript has to be compiled, name the .js' : ''
    throw new Error(`machine: the module ${path} cannot be loaded${advice}`, { cause })
  }
}

/**
 * Makes the machine of a module.
 * @throws Error that says what is missing
 */
export function createPlugIn(
  path: string,
  exports: unknown,
  place: PlugInPlace,
): MemoryMachine | DurableMachine {
  const create = fieldOf(exports, 'createMachine')
  if (typeof create !== 'function') {
    throw new Error(`machine: ${path} does not export a function createMachine`)
  }
  const made: unknown = create(place)
  const name = fieldOf(made, 'name')
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new Error(`machine: createMachine of ${path} gives no machine: its name must be ${NAME}`)
  }
  const wanted: readonly string[] = fieldOf(made, 'storage') === undefined ? OF_MEMORY : OF_DURABLE
  const missing = wanted.filter(method => typeof fieldOf(made, method) !== 'function')
  const routes = fieldOf(made, 'routes')
  if (routes !== undefined && typeof routes !== 'function') missing.push('routes')
  if (missing.length > 0) {
    throw new Error(`machine: ${name} of ${path} lacks the method ${missing.join(', ')}`)
  }
  return made as MemoryMachine | DurableMachine
}

/** The machine as the node needs it. */
export function adapted(
  plugIn: MemoryMachine | DurableMachine,
  place: PlugInPlace,
): StateMachine<Uint8Array, PlugInAnswer> {
  return 'storage' in plugIn ? plugIn : new MemoryMachineAdapter(plugIn, place)
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as Record<string, unknown>)[name]
}
