/** The nginx of this machine, on a unix socket of its own. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { childrenOf, commandLine } from '../../../scripts/lib/processes.ts'
import { NginxControl } from '../../src/structure/nginx-control.ts'
import { until } from '../cluster/harness.ts'

const { NGINX_PROGRAM: NGINX = '/usr/sbin/nginx' } = process.env
const PATIENCE_MS = 3_000

class Nginx {
  readonly #directory: string
  readonly #child: ChildProcess
  readonly control: NginxControl

  constructor(owner: Test, workers: number) {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), 'control-')))
    this.#directory = directory
    this.configure(workers, 'one')
    const main = join(directory, 'nginx.conf')
    this.#child = spawn(NGINX, ['-p', directory, '-c', main, '-g', 'daemon off;'])
    owner.teardown(async () => {
      for (const pid of this.workers()) process.kill(pid, 'SIGCONT')
      this.#child.kill('SIGTERM')
      await until('nginx ends', () => this.#child.exitCode !== null)
      rmSync(directory, { recursive: true, force: true })
    })
    const place = { binary: NGINX, main, prefix: directory, pidFile: null }
    const own = { link: 'link', work: join(directory, 'work') }
    this.control = new NginxControl({ ...place, ...own }, PATIENCE_MS)
  }

  get log(): string {
    return readFileSync(join(this.#directory, 'error.log'), 'utf8')
  }

  configure(workers: number, answer: string, more = ''): void {
    const text = `worker_processes ${workers}; pid nginx.pid;
error_log error.log;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path temp-${name};`).join(' ')}
  server { listen unix:nginx.sock; location / { return 200 "${answer}"; } }
  ${more}
}
`.replace('unix:nginx.sock', `unix:${join(this.#directory, 'nginx.sock')}`)
    writeFileSync(join(this.#directory, 'nginx.conf'), text)
  }

  async starts(): Promise<void> {
    await until('it answers', async () => (await this.answer()) === 'one')
  }

  workers(): number[] {
    const master = this.#child.pid ?? 0
    return childrenOf(master).filter(pid => /nginx: worker process$/.test(commandLine(pid)))
  }

  answer(): Promise<string> {
    return new Promise(resolve => {
      const socketPath = join(this.#directory, 'nginx.sock')
      const asking = request({ socketPath, path: '/', agent: false }, answer => {
        let text = ''
        answer.setEncoding('utf8').on('data', (more: string) => {
          text += more
        })
        answer.on('end', () => resolve(text))
      })
      asking.on('error', error => resolve(error.message))
      asking.end()
    })
  }
}

t.test('a reload takes, and from then on nothing answers as before', async t => {
  const nginx = new Nginx(t, 2)
  await nginx.starts()
  nginx.configure(2, 'two')
  t.strictSame(await nginx.control.reload(), { kind: 'took' })
  for (let asked = 0; asked < 20; asked++) t.equal(await nginx.answer(), 'two')
})

t.test('a worker that dies meanwhile is not taken for one with what is refused', async t => {
  const nginx = new Nginx(t, 1)
  await nginx.starts()
  const [worker = 0] = nginx.workers()
  nginx.configure(1, 'two', 'nonsense;')
  const reload = nginx.control.reload()
  await until('it is refused', () => nginx.log.includes('nonsense'))
  process.kill(worker, 'SIGKILL')
  const found = await reload
  t.match(found, { kind: 'refused', words: /unknown directive "nonsense"/ })
  t.notMatch(found, { words: /exited/ })
})

t.test('nor is it a complaint of one that is taken, where another one hangs', async t => {
  const nginx = new Nginx(t, 3)
  await nginx.starts()
  const [hangs = 0, dies = 0] = nginx.workers()
  process.kill(hangs, 'SIGSTOP')
  nginx.configure(3, 'two')
  const reload = nginx.control.reload()
  process.kill(dies, 'SIGKILL')
  t.strictSame(await reload, { kind: 'took' })
})
