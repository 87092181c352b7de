/** Writes at capacity, at a multiple of it, and after: see `USAGE`. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseAnswer } from './benchmark/http-loop.ts'
import { quantile, rounded } from './benchmark/statistics.ts'
import { agentPid, agentStatus } from './lib/agent-server.ts'
import { DEFAULT_SHAPE, type NodePlace, placeOf } from './lib/layout.ts'
import { down, up } from './lib/operations.ts'

const USAGE = `What becomes of writes when there are too many: an open loop, whose latencies count from the time at which a write
was due. First a closed loop of 256 shows the capacity; then half of that is offered, then a multiple, then half again.

usage: scripts/bench overload [options]

  --through WHAT      agent or gateway, of the leader (default agent)
  --factor N          of the capacity (default 4)
  --seconds N         of overload (default 20)
  --base-port N       (default 19500)

The generator is one process on the same machine: where it does not keep up, "offered" says so.
The last line is JSON.
`

const CONNECTIONS = 2048
/** Where the throughput of a closed loop is the highest: more only wait longer. */
const CLOSED = 256
const TICK_MS = 2
const EASY = 0.5
const PHASE_MS = 5_000
const RECOVERY_MS_MAX = 15_000
const RECOVERY_STEP_MS = 500

interface Sample {
  readonly status: number
  /** since it was due */
  readonly ms: number
  /** since it was sent: without what waited in the generator */
  readonly sentMs: number
}

/** One request in flight a connection; what is due while all are busy waits, and its latency grows. */
class Clients {
  readonly #port: number
  readonly #idle: Socket[] = []
  readonly #due: number[] = []
  readonly #sockets = new Set<Socket>()
  #samples: Sample[] = []
  #sent = 0
  /** called after each answer */
  onAnswer: () => void = () => undefined

  constructor(port: number) {
    this.#port = port
    for (let at = 0; at < CONNECTIONS; at++) this.#open()
  }

  get waiting(): number {
    return this.#due.length
  }

  ask(dueMs: number): void {
    this.#due.push(dueMs)
    this.#send()
  }

  /** What was answered since the last call. */
  take(): Sample[] {
    const taken = this.#samples
    this.#samples = []
    return taken
  }

  /** What waits is given up. */
  forget(): void {
    this.#due.length = 0
  }

  close(): void {
    this.onAnswer = () => undefined
    for (const socket of this.#sockets) socket.removeAllListeners('close').destroy()
  }

  #send(): void {
    while (this.#due.length > 0) {
      const socket = this.#idle.pop()
      if (socket === undefined) return
      const dueMs = this.#due.shift() ?? 0
      const body = `{"overload-${this.#sent++ % 10_000}":"${'v'.repeat(100)}"}`
      socket.emit('asked', dueMs)
      socket.write(
        `POST /key HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
    }
  }

  #open(): void {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true })
    this.#sockets.add(socket)
    let dueMs: number | null = null
    let sentAtMs = 0
    let text = ''
    const answered = (status: number) => {
      const now = performance.now()
      if (dueMs !== null) {
        this.#samples.push({ status, ms: now - dueMs, sentMs: now - sentAtMs })
      }
      dueMs = null
    }
    socket.on('asked', (due: number) => {
      dueMs = due
      sentAtMs = performance.now()
    })
    socket.on('connect', () => {
      this.#idle.push(socket)
      this.#send()
    })
    socket.on('data', bytes => {
      text += bytes.toString('latin1')
      const answer = parseAnswer(text)
      if (answer === null) return
      answered(answer.status)
      text = ''
      this.#idle.push(socket)
      this.onAnswer()
      this.#send()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      answered(0)
      this.#sockets.delete(socket)
      const at = this.#idle.indexOf(socket)
      if (at !== -1) this.#idle.splice(at, 1)
      setTimeout(() => this.#open(), 20)
    })
  }
}

/** Offers so many writes a second. @returns how many a second it did offer */
async function offer(clients: Clients, perSecond: number, ms: number): Promise<number> {
  const begin = performance.now()
  let offered = 0
  for (let now = begin; now - begin < ms; now = performance.now()) {
    const due = Math.floor(((now - begin) * perSecond) / 1000)
    for (; offered < due; offered++) clients.ask(begin + (offered * 1000) / perSecond)
    await sleep(TICK_MS)
  }
  return (offered * 1000) / (performance.now() - begin)
}

/** Of a closed loop. */
async function capacityOf(clients: Clients): Promise<Summary> {
  let running = true
  clients.onAnswer = () => {
    if (running) clients.ask(performance.now())
  }
  for (let at = 0; at < CLOSED; at++) clients.ask(performance.now())
  await sleep(PHASE_MS / 2)
  clients.take()
  const begin = performance.now()
  await sleep(PHASE_MS)
  const found = summary(clients.take(), (performance.now() - begin) / 1000)
  running = false
  clients.onAnswer = () => undefined
  await sleep(RECOVERY_STEP_MS)
  return found
}

type Summary = ReturnType<typeof summary>

function summary(samples: readonly Sample[], seconds: number) {
  const byStatus: Record<string, number> = {}
  for (const { status } of samples) byStatus[status] = (byStatus[status] ?? 0) + 1
  const p99 = (status: number, what: 'ms' | 'sentMs') => {
    const those = samples.filter(sample => sample.status === status)
    const latencies = those.map(sample => sample[what])
    return rounded(quantile(latencies, 0.99), 1)
  }
  const goodput = Math.round((byStatus[200] ?? 0) / seconds)
  const [p99Ms, sentP99Ms] = [p99(200, 'ms'), p99(200, 'sentMs')]
  return { goodput, byStatus, p99Ms, sentP99Ms, refusedP99Ms: p99(503, 'ms') }
}

function rssMiB(nodes: readonly NodePlace[]): number[] {
  return nodes.map(node => {
    const status = readFileSync(`/proc/${agentPid(node)}/status`, 'utf8')
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
  })
}

/** Until a half second at the first rate brings what it brought before, ms. */
async function recovery(clients: Clients, rate: number, p99Ms: number): Promise<number | null> {
  const begin = performance.now()
  clients.forget()
  while (performance.now() - begin < RECOVERY_MS_MAX) {
    clients.take()
    await offer(clients, rate, RECOVERY_STEP_MS)
    const { byStatus, p99Ms: now } = summary(clients.take(), RECOVERY_STEP_MS / 1000)
    const all200 = Object.keys(byStatus).join() === '200'
    if (all200 && now <= p99Ms * 2) return Math.round(performance.now() - begin)
  }
  return null
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      through: { type: 'string', default: 'agent' },
      factor: { type: 'string', default: '4' },
      seconds: { type: 'string', default: '20' },
      'base-port': { type: 'string', default: '19500' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return void process.stdout.write(USAGE)
  const directory = mkdtempSync(join(tmpdir(), 'bench-overload-'))
  const shape = { ...DEFAULT_SHAPE, basePort: Number(values['base-port']) }
  const place = placeOf(directory, { ...shape, nginx: values.through === 'gateway' })
  try {
    await up(place)
    const statuses = await Promise.all(place.nodes.map(agentStatus))
    const leader = place.nodes.find((_, at) => statuses[at]?.role === 'leader') ?? place.nodes[0]
    if (leader === undefined) throw new Error('a cluster has nodes')
    const port = values.through === 'gateway' ? leader.gatewayPort : leader.httpPort
    await measure(place.nodes, port, {
      factor: Number(values.factor),
      ms: Number(values.seconds) * 1000,
    })
  } finally {
    await down(directory)
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measure(
  nodes: readonly NodePlace[],
  port: number,
  { factor, ms }: { readonly factor: number; readonly ms: number },
): Promise<void> {
  const clients = new Clients(port)
  const capacity = await capacityOf(clients)
  const rate = Math.round(capacity.goodput * EASY)
  clients.take()
  await offer(clients, rate, PHASE_MS)
  const before = summary(clients.take(), PHASE_MS / 1000)
  const rssBefore = rssMiB(nodes)
  const offered = Math.round(await offer(clients, capacity.goodput * factor, ms))
  const over = summary(clients.take(), ms / 1000)
  const rss = rssMiB(nodes)
  const unsent = clients.waiting
  const recoveryMs = await recovery(clients, rate, before.p99Ms)
  clients.close()
  const ratio = Number((over.p99Ms / capacity.p99Ms).toFixed(2))
  const sentRatio = Number((over.sentP99Ms / capacity.sentP99Ms).toFixed(2))
  console.log(`at capacity: ${JSON.stringify(capacity)}`)
  console.log(`${rate}/s: ${JSON.stringify(before)}`)
  console.log(`offered ${offered}/s, ${unsent} never sent: ${JSON.stringify(over)}`)
  console.log(
    `p99 × ${ratio} since due, × ${sentRatio} since sent; normal again after ${recoveryMs} ms; RSS MiB ${rssBefore} → ${rss}`,
  )
  const figures = {
    capacity,
    before,
    offered,
    unsent,
    over,
    ratio,
    sentRatio,
    recoveryMs,
    rssBefore,
    rss,
  }
  console.log(JSON.stringify(figures))
}

await main()
