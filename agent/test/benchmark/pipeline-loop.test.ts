import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import type { Job } from '../../../scripts/benchmark/job.ts'
import { nextAnswer, PipelineLoop } from '../../../scripts/benchmark/pipeline-loop.ts'
import { Requests } from '../../../scripts/benchmark/requests.ts'
import { Tally } from '../../../scripts/benchmark/tally.ts'

const JOB: Job = {
  ...{ load: 'reads', dialect: 'raft-nginx', concurrency: 4, keys: 7, valueBytes: 1 },
  ...{ endpoint: { kind: 'tcp', host: '', port: 0 }, serverPids: [] },
  extent: { kind: 'timed', warmUpMs: 0, measureMs: 0 },
}

function answer(body: string, status = 200): string {
  return `HTTP/1.1 ${status} X\r\nX: y\r\nContent-Length: ${body.length}\r\nZ: 1\r\n\r\n${body}`
}

t.test('answers are found one behind the other, and only when they are whole', async t => {
  const text = answer('abc') + answer('', 503) + answer('de').slice(0, -1)
  const first = nextAnswer(text, 0)
  t.match(first, { status: 200, bodyBytes: 3 })
  const second = nextAnswer(text, first?.end ?? 0)
  t.match(second, { status: 503, bodyBytes: 0 })
  t.equal(nextAnswer(text, second?.end ?? 0), null)
  t.equal(nextAnswer(text.slice(0, 20), 0), null)
  t.throws(() => nextAnswer('HTTP/1.1 200 OK\r\n\r\n', 0), RangeError)
  t.throws(() => nextAnswer(`HTTP/1.1 200 OK\r\n\r\n${answer('a')}`, 0), RangeError)
})

/** Sends so many bytes of each answer at a time. */
async function run(reply: (request: number) => string, pieces = 1000): Promise<Tally> {
  let asked = 0
  const server = createServer((socket: Socket) => {
    socket.on('data', chunk => {
      const requests = chunk.toString().match(/\r\n\r\n/g)?.length ?? 0
      let text = ''
      for (let at = 0; at < requests; at += 1) text += reply(asked++)
      for (let at = 0; at < text.length; at += pieces) socket.write(text.slice(at, at + pieces))
    })
    socket.on('error', () => undefined)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const tally = new Tally(JOB.keys, 50)
  tally.measure()
  const endpoint = { kind: 'tcp', host: '127.0.0.1', port } as const
  const loop = new PipelineLoop({ endpoint, tally, requests: new Requests(JOB), inFlight: 4 })
  loop.start()
  await tally.idle()
  loop.close()
  server.close()
  return tally
}

t.test('each request is counted once, by its own answer', async t => {
  const whole = await run(() => answer('{}'))
  t.match(whole, { operations: 50, errors: 0 })
  t.match(await run(() => answer('{}'), 7), { operations: 50, errors: 0 })
  const some = await run(at => (at % 10 === 3 ? answer('', 503) : answer(at === 5 ? '' : '{}')))
  t.match(some, { operations: 44, errors: 6, firstError: 'status 503' })
  t.equal(some.sortedLatenciesMs().length, 44)
})
