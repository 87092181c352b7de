import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { OneConnection } from '../../../scripts/benchmark/one-connection.ts'

t.test(
  'a connection that the server closes is a failure, one that is done with is none',
  async t => {
    const accepted: Socket[] = []
    const server = createServer(socket => accepted.push(socket.resume())).listen(0, '127.0.0.1')
    t.teardown(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    for (const [ends, expected] of [
      ['server', ['connected', 'connection closed']],
      ['loop', ['connected']],
    ] as const) {
      const seen: string[] = []
      const socket = connect(port, '127.0.0.1').resume()
      const connection = new OneConnection(socket, {
        onConnect: () => seen.push('connected'),
        onFailure: reason => seen.push(reason),
      })
      const closed = once(socket, 'close')
      const [far] = (await once(server, 'connection')) as [Socket]
      connection.write([])
      connection.write([Buffer.from('a'), Buffer.from('b')])
      const [bytes] = (await once(far, 'data')) as [Buffer]
      t.equal(bytes.toString(), 'ab', 'in one piece')
      if (ends === 'server') far.end()
      else connection.close()
      await closed
      t.strictSame(seen, expected)
      far.destroy()
    }
  },
)
