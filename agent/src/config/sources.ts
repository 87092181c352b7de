import { type Fault, nearest, pathText, unknownKey } from './fault.ts'
import { type SettingShape, settingShape, shapeAt } from './settings.ts'

/** Settings as nested plain objects, not checked yet. */
export type RawSettings = Readonly<Record<string, unknown>>

/** One value given outside of the file. */
export interface Override {
  readonly path: readonly string[]
  readonly value: unknown
  /** Who gave it: a variable or the command line. */
  readonly source: string
}

const PREFIX = 'RAFT_NGINX_'
/** The command line's own, and a test's: no settings of an agent. */
const NO_SETTINGS: readonly string[] = ['RAFT_NGINX_ENDPOINT', 'RAFT_NGINX_FAIL']

/** `RAFT_NGINX_SERVER__ADDRESS` sets `server.address`; lists are given as JSON. */
export function environmentOverrides(env: Readonly<Record<string, string | undefined>>): {
  readonly overrides: readonly Override[]
  readonly faults: readonly (Fault & { readonly source: string })[]
} {
  const overrides: Override[] = []
  const faults: (Fault & { source: string })[] = []
  for (const [source, text] of Object.entries(env)) {
    if (!source.startsWith(PREFIX) || NO_SETTINGS.includes(source) || text === undefined) continue
    const path = source.slice(PREFIX.length).toLowerCase().split('__')
    const shape = shapeAt(path)
    if (shape === null) {
      faults.push({ ...unknownVariable(path), source })
      continue
    }
    const value = parseAs(shape, text)
    if (value === undefined) faults.push({ path, problem: 'must be JSON', source })
    else overrides.push({ path, value, source })
  }
  return { overrides, faults }
}

function unknownVariable(path: readonly string[]): Fault {
  const hint = nearest(path.join('__'), variables(settingShape, []))
  if (hint === null) return unknownKey(path)
  return { path, problem: `is not a setting; did you mean ${PREFIX}${hint.toUpperCase()}?` }
}

function variables(shape: SettingShape, path: readonly string[]): readonly string[] {
  const below = Object.entries(shape.properties ?? {})
  const own = path.length === 0 ? [] : [path.join('__')]
  return [...own, ...below.flatMap(([key, inner]) => variables(inner, [...path, key]))]
}

/** Undefined when the text is no JSON where it must be; what else is wrong the schema will say. */
function parseAs(shape: SettingShape, text: string): unknown {
  if (shape.type === 'string') return text
  try {
    return JSON.parse(text)
  } catch {
    return shape.type === 'array' || shape.type === 'object' ? undefined : text
  }
}

/** The leaves of settings given by the program itself, as by `--inmem`. */
export function commandLineOverrides(
  raw: RawSettings,
  path: readonly string[] = [],
): readonly Override[] {
  return Object.entries(raw).flatMap(([key, value]) => {
    const here = [...path, key]
    if (value === undefined) return []
    if (isObject(value)) return commandLineOverrides(value, here)
    return [{ path: here, value, source: 'command line' }]
  })
}

/** `raw` with these values in place; later ones win. */
export function override(raw: RawSettings, overrides: readonly Override[]): RawSettings {
  let merged = raw
  for (const { path, value } of overrides) merged = replaced(merged, path, value)
  return merged
}

function replaced(raw: RawSettings, path: readonly string[], value: unknown): RawSettings {
  const [key, ...rest] = path
  if (key === undefined) return raw
  if (rest.length === 0) return { ...raw, [key]: value }
  const inner = raw[key]
  return { ...raw, [key]: replaced(isObject(inner) ? inner : {}, rest, value) }
}

/** Who gave the value at `path`, the file unless somebody else did. */
export function sourceOf(
  path: readonly PropertyKey[],
  overrides: readonly Override[],
  file: string,
): string {
  const text = pathText(path)
  const covers = (given: string) =>
    text === given || text.startsWith(`${given}.`) || text.startsWith(`${given}[`)
  return overrides.findLast(given => covers(pathText(given.path)))?.source ?? file
}

export function isObject(value: unknown): value is RawSettings {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
