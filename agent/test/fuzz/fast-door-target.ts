import { NASTY } from '../http/nasty-requests.ts'
import { FOURS } from '../http/pipelined-requests.ts'
import { type Sent, TwoWays } from '../http/two-ways.ts'
import { HTTP_SEEDS } from './http-target.ts'
import type { Target } from './target.ts'

/** Pairs of servers: the cases of one follow each other, so that both are in the same state. */
const WIDTH = 24

/** Bytes on a connection through the fast door, and through Node alone: both say the same. */
export async function fastDoorTarget(): Promise<Target> {
  const ends: (() => Promise<void>)[] = []
  const t = { teardown: (end: () => Promise<void>) => void ends.push(end) }
  const all = await Promise.all(Array.from({ length: WIDTH }, () => TwoWays.open(t)))
  const free = [...all]
  return {
    name: 'fast-door',
    seeds: [...HTTP_SEEDS, ...NASTY.map(({ bytes }) => bytes), ...FOURS].filter(isRepeatable),
    width: WIDTH,
    take: async bytes => {
      const ways = free.pop()
      if (ways === undefined) throw new Error('more cases at once than pairs of servers')
      try {
        await ways.compare(sentOf(bytes))
      } finally {
        free.push(ways)
      }
    },
    check: async () => {
      // `free` are those that nobody changes now.
      for (const ways of [...free]) await ways.checkCounts()
    },
    close: async () => {
      for (const end of ends.reverse()) await end()
    },
  }
}

/** What its answer says changes by itself, or it has none for long. */
const CHANGING = /session\/create|\/metrics|index=|\/watch/

function isRepeatable(bytes: Uint8Array): boolean {
  return bytes.length < 20_000 && !CHANGING.test(Buffer.from(bytes).toString('latin1'))
}

/**
 * In one piece or two, at a place that the bytes themselves name. The second one waits: whether what is cut there goes to
 * Node would depend on when it comes, and Node cuts a connection whose next request is malformed before the one at hand has its answer.
 */
function sentOf(bytes: Uint8Array): Sent {
  const sum = bytes.reduce((all, byte) => all + byte, 0)
  const next = sum % 3 === 0 ? 'wait' : 'at-once'
  if (sum % 2 === 0 || bytes.length < 2) return [{ bytes, next }]
  const cut = 1 + (sum % (bytes.length - 1))
  return [
    { bytes: bytes.subarray(0, cut), next: 'wait' },
    { bytes: bytes.subarray(cut), next: 'wait' },
  ]
}
