import { z } from 'zod'

const value = z.union([
  z.null(),
  z.number(),
  z.string(),
  z.boolean(),
  z.strictObject({ base64: z.base64() }),
  z.strictObject({ integer: z.string().regex(/^-?[0-9]{1,19}$/) }),
])

const statement = z.strictObject({
  sql: z.string().min(1),
  /** By place, or by name. */
  params: z.union([z.array(value), z.record(z.string(), value)]).default([]),
})

const VERSION = 1
const STATEMENTS_MAX = 1000

const execute = z.strictObject({
  statements: z
    .array(
      z.union([
        statement,
        z
          .string()
          .min(1)
          .transform(sql => ({ sql, params: [] })),
      ]),
    )
    .min(1)
    .max(STATEMENTS_MAX),
  /** All of them happen, or none. False: each for itself. */
  transaction: z.boolean().default(true),
})

const stored = z.strictObject({ v: z.literal(VERSION), ...execute.shape })

export type SqlStatement = z.infer<typeof statement>
export type SqlCommand = z.infer<typeof execute>

/** Null when the text is no such JSON; with where and why. */
export function parseExecute(text: string): SqlCommand | { readonly problem: string } {
  return parsed(execute, text)
}

export function parseQuery(text: string): SqlStatement | { readonly problem: string } {
  return parsed(statement, text)
}

/** Equal commands have equal bytes, so that a repeated request is recognised. */
export function encodeCommand({ statements, transaction }: SqlCommand): Uint8Array {
  return Buffer.from(JSON.stringify({ v: VERSION, statements, transaction }))
}

/** What `encodeCommand` wrote; null when it is something else. */
export function decodeCommand(bytes: Uint8Array): SqlCommand | null {
  const found = parsed(stored, Buffer.from(bytes).toString())
  return 'problem' in found ? null : found
}

function parsed<Shape extends z.ZodType>(
  shape: Shape,
  text: string,
): z.infer<Shape> | { readonly problem: string } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { problem: 'the body is JSON' }
  }
  const result = shape.safeParse(json)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const where = issue === undefined || issue.path.length === 0 ? 'the body' : issue.path.join('.')
  return { problem: `${where}: ${issue?.message ?? 'not what it should be'}` }
}
