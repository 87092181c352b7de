/** Of pipelined reads that were put off, and of answers that nobody takes, what `unread-answers` cannot wait for. */

import { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Line } from '../../src/http/fast/line.ts'
import type { Served } from '../../src/http/fast/served.ts'
import { WholeRequest } from '../../src/http/fast/whole-request.ts'
import { refuse } from '../../src/http/refusal.ts'
import type { ReadOutcome } from '../../src/node/outcome.ts'
import { asLogIndex } from '../../src/raft/types.ts'
import { type Harness, serve } from './harness.ts'
import { accepted, Client, CONSISTENT, post, someTurns } from './pipelining-client.ts'

/** Linearizable reads are confirmed one by one, in the order in which they were asked for. */
function confirmations({ node }: Harness) {
  const waiting: ((outcome: ReadOutcome) => void)[] = []
  let asked = 0
  node.linearizable = () => {
    asked++
    return new Promise(resolve => waiting.push(resolve))
  }
  return {
    next: () => waiting.shift()?.({ kind: 'ready', index: asLogIndex(node.applied) }),
    asked: async (count: number) => {
      while (asked < count) await turn()
    },
  }
}

t.test('what is asked for anew overtakes nothing that is under way behind it', async t => {
  const harness = await serve(t)
  const write = async (request: string): Promise<void> => {
    const client = new Client(harness, request)
    await client.answers(1)
    client.socket.destroy()
  }
  await write(post('v'.repeat(300_000), 'large'))
  await write(post('1'))
  const confirm = confirmations(harness)
  const others = accepted.length
  const client = new Client(harness, CONSISTENT.replace('/a', '/large') + CONSISTENT.repeat(2))
  await confirm.asked(3)
  const other = accepted[others]
  // Nothing leaves, as if the client read nothing.
  other?.cork()
  confirm.next()
  while (other?.writableLength === 0) await turn()
  confirm.next()
  await someTurns()
  other?.uncork()
  await client.answers(1)
  await someTurns()
  // The last of the three is the next here, with what was written until now.
  confirm.next()
  await someTurns()
  await write(post('2'))
  while (client.statuses.length < 3) {
    confirm.next()
    await turn()
  }
  const bodies = (await client.answers(3)).match(/{"a":"\d"}/g) ?? []
  t.strictSame(bodies, ['{"a":"2"}', '{"a":"2"}'])
  client.socket.destroy()
})

t.test('the body of an answer to a HEAD is not kept until it has left', t => {
  const line = new Line({ count: 0 })
  const request = new WholeRequest(
    new Socket(),
    { method: 'HEAD', target: '/key/a', hop: false },
    Buffer.alloc(0),
  )
  const served: Served = {
    ...{ request, route: 'key', began: 0, order: 'look', bytes: 40, handler: null, code: 0 },
    ...{ exchange: refuse(400, 'X', ''), bodiless: true, reply: null, isPutOff: false },
  }
  line.begin(served)
  line.settled(served, { status: 200, headers: { 'Content-Length': '3' }, body: 'abc' })
  t.strictSame(line.takeSettled(0), [served])
  const [left] = line.left()
  t.strictSame(left?.reply, { status: 200, headers: { 'Content-Length': '3' }, body: '' })
  t.end()
})
