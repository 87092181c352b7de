/** SQLite's values in JSON: null, numbers, strings; and what JSON has no word for, as an object with one field. */
export type JsonValue =
  | null
  | number
  | string
  | boolean
  | { readonly base64: string }
  /** beyond 2^53 */
  | { readonly integer: string }

/** What the driver binds. */
export type Bound = null | number | bigint | string | Uint8Array

/** Rows in the order of their columns. */
export interface Rows {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly JsonValue[])[]
}

/** What the driver takes: values by place, or one object of values by name. */
export function boundOf(
  params: readonly JsonValue[] | Readonly<Record<string, JsonValue>>,
): unknown[] | { readonly problem: string } {
  try {
    if (Array.isArray(params)) return params.map(toBound)
    return [Object.fromEntries(Object.entries(params).map(([key, value]) => [key, toBound(value)]))]
  } catch (error) {
    if (error instanceof RangeError) return { problem: error.message }
    throw error
  }
}

/** @throws RangeError when an integer has more than 64 bits */
function toBound(value: JsonValue): Bound {
  if (typeof value === 'boolean') return value ? 1n : 0n
  // JSON has one kind of number, SQLite two: what is whole is an integer, as in every other client.
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value
  if (value === null || typeof value === 'string') return value
  if ('base64' in value) return Buffer.from(value.base64, 'base64')
  const integer = BigInt(value.integer)
  if (BigInt.asIntN(64, integer) !== integer) throw new RangeError('an integer has 64 bits')
  return integer
}

export function toJson(value: Bound): JsonValue {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : { integer: String(value) }
  }
  // JSON has no infinity; SQLite has no NaN.
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value
}
