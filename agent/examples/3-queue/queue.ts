/**
 * Jobs for workers: a job that was taken and not finished within its time is given out again. Time comes
 * from the log, so that every node gives out the same job.
 */

import { Hono } from 'hono'
import type { CommandContext, MachineHost, MemoryMachine } from 'raft-nginx/machine'

interface Job {
  readonly id: number
  readonly work: string
  /** Unix ms of the log: nobody else gets it before. */
  hiddenUntil: number
}

type Command =
  | { readonly kind: 'put'; readonly work: string }
  | { readonly kind: 'take'; readonly forMs: number }
  | { readonly kind: 'finish'; readonly id: number }

const FOR_MS_MAX = 3_600_000

export function createMachine(): MemoryMachine {
  let jobs: Job[] = []

  const perform = (command: Command, { index, timeMs, reject }: CommandContext): Job => {
    if (command.kind === 'put') {
      const job: Job = { id: index, work: command.work, hiddenUntil: 0 }
      jobs.push(job)
      return job
    }
    const free = (job: Job) => job.hiddenUntil <= timeMs
    const job = jobs.find(command.kind === 'take' ? free : job => job.id === command.id)
    if (job === undefined) return reject(command.kind === 'take' ? 'NO_JOB' : 'NO_SUCH_JOB')
    if (command.kind === 'take') job.hiddenUntil = timeMs + command.forMs
    else jobs = jobs.filter(other => other !== job)
    return job
  }

  return {
    name: 'queue',
    apply(command, context) {
      const decoded = decode(command)
      return encode(decoded === null ? context.reject('BAD_COMMAND') : perform(decoded, context))
    },
    query: () => encode(jobs),
    snapshot: () => encode(jobs),
    restore(state) {
      jobs = JSON.parse(new TextDecoder().decode(state)) as Job[]
    },
    routes,
  }
}

function routes(host: MachineHost) {
  const send = async (request: Request, command: Command) =>
    new Response(await host.propose(request, encode(command)), {
      headers: { 'Content-Type': 'application/json' },
    })
  return new Hono()
    .get('/', async c => c.body(await host.query(c.req.raw, new Uint8Array(0))))
    .post('/', async c => send(c.req.raw, { kind: 'put', work: await c.req.text() }))
    .post('/take', c => {
      const seconds = Number(c.req.query('seconds') ?? 30)
      return send(c.req.raw, { kind: 'take', forMs: Math.round(seconds * 1000) })
    })
    .delete('/:id{[0-9]+}', c => send(c.req.raw, { kind: 'finish', id: Number(c.req.param('id')) }))
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

/** Null when it is no command: the log may hold what an older version wrote. */
function decode(bytes: Uint8Array): Command | null {
  try {
    const command = JSON.parse(new TextDecoder().decode(bytes)) as Command
    switch (command.kind) {
      case 'put':
        return typeof command.work === 'string' ? command : null
      case 'take':
        return command.forMs >= 0 && command.forMs <= FOR_MS_MAX ? command : null
      case 'finish':
        return Number.isSafeInteger(command.id) ? command : null
      default:
        return null
    }
  } catch {
    return null
  }
}

/** For `npm run test-machine`. */
export const samples: readonly Uint8Array[] = [
  { kind: 'put', work: 'resize 7.png' },
  { kind: 'put', work: 'send a letter' },
  { kind: 'take', forMs: 0 },
  { kind: 'take', forMs: 60_000 },
  { kind: 'finish', id: 2 },
  { kind: 'dance' },
].map(encode)
