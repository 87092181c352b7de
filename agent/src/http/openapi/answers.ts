import { z } from 'zod'
import { type Content, JSON_TYPE, type Meaning, TEXT_TYPE } from './operation.ts'

/** An RFC 9457 problem, as `problemReply` makes it. */
export const problem = z.strictObject({
  type: z.literal('about:blank'),
  title: z.string(),
  status: z.int().min(400).max(599),
  code: z.string().describe('For programs; stable.'),
  detail: z.string().describe('For people.'),
  leader: z.strictObject({ id: z.string(), address: z.string() }).nullable(),
  retryable: z.boolean().describe('The same request may be sent again: nothing happened.'),
})

/** No body. */
export const EMPTY = null

export function json(schema: z.ZodType): Content {
  return { type: JSON_TYPE, schema }
}

export const TEXT = { type: TEXT_TYPE, schema: z.string() }

/** What every write through the log may be answered. */
export const WRITE_PROBLEMS: Readonly<Record<number, Meaning>> = {
  421: {
    description: 'Another node leads, and nothing happened here. A gateway follows it by itself.',
  },
  422: { description: 'This Idempotency-Key was used for another request; nothing happened.' },
  503: { description: 'No leader, or too much is waiting: nothing happened. See Retry-After.' },
  504: { description: 'Not committed in time: it may still happen.' },
}
