import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { endServers, familyPids, startServer, waitUntil } from '../child-process.ts'
import type { Cluster } from '../cluster.ts'
import { keyAt, valueFor } from '../requests.ts'
import { askText } from './probe.ts'

export interface StaticFilesOptions {
  readonly program: string
  readonly directory: string
  readonly port: number
  readonly keys: number
  readonly valueBytes: number
}

/** One worker, as a gateway has it, and a file for each key: a read that costs no more than nginx itself. */
export async function startStaticFiles(options: StaticFilesOptions): Promise<Cluster> {
  const { program, directory, port, keys, valueBytes } = options
  const folder = join(directory, 'files/key')
  for (const each of [folder, join(directory, 'tmp')]) mkdirSync(each, { recursive: true })
  for (let at = 0; at < keys; at += 1) {
    writeFileSync(join(folder, keyAt(at)), valueFor(at, valueBytes))
  }
  const config = join(directory, 'nginx.conf')
  writeFileSync(config, configOf(directory, port))
  const logFile = join(directory, 'nginx.log')
  const child = startServer({
    program,
    args: ['-p', directory, '-c', config, '-e', logFile, '-g', 'daemon off;'],
    logFile,
  })
  const answers = async () => (await askText(`http://127.0.0.1:${port}/key/${keyAt(0)}`)) !== null
  const ready = () => waitUntil('nginx with files', [{ child, logFile }], answers)
  const stop = () => endServers([child])
  try {
    await ready()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    ready,
    stop,
    members: () => [],
    leader: () => Promise.reject(new Error('one nginx has no leader')),
    aimAt: async () => ({
      dialect: 'raft-nginx',
      endpoint: { kind: 'tcp', host: '127.0.0.1', port },
      serverPids: familyPids(child),
    }),
  }
}

function configOf(directory: string, port: number): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const temporary = kinds.map(kind => `${kind}_temp_path ${directory}/tmp/${kind};`)
  // what root started would read as nobody
  const user = process.getuid?.() === 0 ? 'user root;\n' : ''
  return `${user}worker_processes 1;
pid ${directory}/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 100000;
  default_type application/json;
  ${temporary.join('\n  ')}
  server { listen 127.0.0.1:${port}; root ${directory}/files; }
}
`
}
