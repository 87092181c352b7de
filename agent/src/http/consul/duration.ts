const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/** But for "0", which needs no unit. */
export const DURATION = /^(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h)){1,6}$/
const PART = /([0-9.]+)(ns|us|µs|ms|s|m|h)/g

/** Milliseconds of a duration as Go writes it: "10s", "1m30s", "1.5h". Null when it is none. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0
  if (!DURATION.test(text)) return null
  let ms = 0
  for (const [, number, unit] of text.matchAll(PART))
    ms += Number(number) * (UNITS_MS[unit ?? ''] ?? 0)
  return ms
}
