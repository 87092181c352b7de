import { InvalidArgumentError, Option } from 'commander'

/** For commander: a whole number, kept as text. */
export function isInteger(text: string): string {
  if (/^[0-9]{1,16}$/.test(text)) return text
  throw new InvalidArgumentError('a whole number is needed.')
}

/** For commander: a whole number below 10^15. */
export function asCount(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a whole number is needed.')
}

/** For commander: how many seconds, as milliseconds. */
export function asSeconds(text: string): number {
  const seconds = Number(text)
  if (/^[0-9.]+$/.test(text) && seconds > 0 && seconds <= 3600) return seconds * 1000
  throw new InvalidArgumentError('seconds are needed, such as 5 or 0.5.')
}

/** An option of so many seconds, whose help names its default in seconds. */
export function secondsOption(flags: string, description: string, defaultMs: number): Option {
  const option = new Option(flags, description).argParser(asSeconds)
  return option.default(defaultMs, String(defaultMs / 1000))
}

/** For commander: an option that may be given several times, or with commas. */
export function several(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, ...text.split(',').filter(part => part !== '')]
}
