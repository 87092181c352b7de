import type { z } from 'zod'

/** One method of one route, as the document tells it. */
export interface Operation {
  readonly method: 'get' | 'put' | 'post' | 'delete'
  /** with `{name}` for what varies */
  readonly path: string
  readonly tag: 'keys' | 'consul' | 'cluster' | 'health' | 'acl'
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  readonly body?: Body
  /** status → what it means; a problem where no content is given and it is an error */
  readonly answers: Readonly<Record<number, Meaning>>
  /** Sent to a real agent by a test, in this order: what they show is so. */
  readonly examples: readonly Example[]
}

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly schema?: z.ZodType
}

interface Body {
  readonly type: string
  /** the one that parses it, where one does */
  readonly schema: z.ZodType
  /** Default true. */
  readonly required?: boolean
}

export interface Content {
  readonly type: string
  readonly schema: z.ZodType
}

export interface Meaning {
  readonly description: string
  /** null: no body */
  readonly content?: Content | null
}

export interface Example {
  readonly name: string
  /** with its query, encoded; without: the path, which varies in nothing */
  readonly target?: string
  readonly headers?: Readonly<Record<string, string>>
  /** JSON, or text as it is */
  readonly body?: unknown
  readonly status: number
}

export const JSON_TYPE = 'application/json'
export const TEXT_TYPE = 'text/plain; charset=utf-8'

export function query(name: string, description: string, schema?: z.ZodType): Parameter {
  return { name, in: 'query', description, ...(schema && { schema }) }
}

export function inPath(name: string, description: string, schema?: z.ZodType): Parameter {
  return { name, in: 'path', description, ...(schema && { schema }) }
}

export function header(name: string, description: string, schema?: z.ZodType): Parameter {
  return { name, in: 'header', description, ...(schema && { schema }) }
}
