/** Connections that become Node's while more of what they sent is here than was read. */

import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { gate, serve } from './harness.ts'
import { accepted, Client, GET, post } from './pipelining-client.ts'

const VALUES = ['b', 'c', 'd', 'e', 'f', 'g'].map(letter => letter.repeat(60_000))
/** Of each value: with their answers waiting, Node has the connection rest. */
const READS = 20

t.test('what came while a connection rested stays in its order when it becomes Node’s', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const others = accepted.length
  const foreign = 'GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n'
  const writes = VALUES.map(value => post(value) + GET.repeat(READS)).join('')
  const client = new Client(harness, `${post('1')}${foreign}${writes}`)
  while ((accepted[others]?.readableLength ?? 0) === 0) await turn()
  // Node reads past the stream from now on, whenever it likes: what the stream has goes before all of that.
  const behind: number[] = []
  const other = accepted[others]
  const emit = other?.emit.bind(other)
  if (other !== undefined && emit !== undefined) {
    other.emit = (name: string | symbol, ...told: unknown[]) => {
      if (String(told[0]).startsWith('GET /nowhere')) behind.push(other.readableLength)
      return emit(name, ...told)
    }
  }
  open()
  const count = 2 + VALUES.length * (1 + READS)
  while (client.statuses.length < count && !client.socket.destroyed) await turn()
  t.strictSame(client.statuses, [200, 404, ...new Array(count - 2).fill(200)])
  t.strictSame(behind, [0])
  await client.answers(count)
  t.strictSame(
    client.text.match(/{"a":"[^"]*"}/g)?.map(body => body.slice(6, -2)),
    VALUES.flatMap(value => new Array(READS).fill(value)),
  )
  client.socket.destroy()
})
