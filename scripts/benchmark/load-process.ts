import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Job, JobResult, Reply } from './job.ts'

/** The load generator in its process of its own: what it costs is not measured as the servers'. */
export class LoadProcess {
  readonly #child: ChildProcess

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./generator.ts', import.meta.url)))
  }

  /** One job at a time. */
  async run(job: Job): Promise<JobResult> {
    const ended = new AbortController()
    const onExit = () => ended.abort(new Error('the load generator ended'))
    this.#child.once('exit', onExit)
    this.#child.send(job)
    const [reply] = (await once(this.#child, 'message', { signal: ended.signal })) as [Reply]
    this.#child.off('exit', onExit)
    if (reply.kind === 'failed') throw new Error(`load generator: ${reply.reason}`)
    return reply.result
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}
