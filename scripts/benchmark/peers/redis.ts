import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startServer } from '../child-process.ts'
import type { StoreOptions } from './etcd.ts'
import type { Store } from './members.ts'

/** One server that flushes its log before it answers: what one disk and one process can do without consensus. */
export function redis(options: StoreOptions): Store {
  const { directory, basePort, program, env } = options
  mkdirSync(directory, { recursive: true })
  return {
    name: 'redis',
    nodes: 1,
    clientPort: () => basePort,
    dialect: () => 'redis',
    start: () => {
      const logFile = join(directory, 'redis.log')
      const settings = { port: basePort, bind: '127.0.0.1', dir: directory, save: '' }
      const durable = { appendonly: 'yes', appendfsync: 'always', 'protected-mode': 'no' }
      const pairs = Object.entries({ ...settings, ...durable })
      const args = pairs.flatMap(([name, value]) => [`--${name}`, String(value)])
      return { child: startServer({ program, args, logFile, env }), logFile }
    },
    leader: async () => ((await answersPing(basePort)) ? 0 : null),
    requests: port => ({
      port,
      write: () => nobodyElse(),
      read: () => nobodyElse(),
    }),
  }
}

function nobodyElse(): never {
  throw new Error('one Redis has nobody to take over')
}

function answersPing(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('data', bytes => settle(bytes.toString().startsWith('+PONG')))
    socket.once('error', () => settle(false))
  })
}
