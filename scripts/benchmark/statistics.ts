/** Medians and the like. */

/** NaN where one of them is, or there are none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** By linear interpolation between neighbours. @param share 0 to 1 */
export function quantile(values: readonly number[], share: number): number {
  if (values.some(Number.isNaN)) return Number.NaN
  const sorted = [...values].sort((one, other) => one - other)
  const at = (sorted.length - 1) * share
  const lower = sorted[Math.floor(at)]
  const upper = sorted[Math.ceil(at)]
  if (lower === undefined || upper === undefined) return Number.NaN
  return lower + (upper - lower) * (at - Math.floor(at))
}

export function range(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)]
}

export function rounded(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}
