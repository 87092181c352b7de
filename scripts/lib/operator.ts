/** What operators ask of an agent: from its own machine, since where agents know each other only that, or a token, counts. */

import { execFile } from 'node:child_process'
import { agentUrl, type NodePlace } from './layout.ts'
import { type Answer, ask, type Probe } from './probe.ts'
import { commandIn } from './processes.ts'

/** Arguments: URL, what `fetch` takes as JSON, ms. */
const ASK = `const [url, init, ms] = process.argv.slice(1);
const answer = await fetch(url, { ...JSON.parse(init), signal: AbortSignal.timeout(Number(ms)) });
console.log(JSON.stringify({ status: answer.status, body: await answer.text() }))`
/** For the program that asks to start, beside what the agent takes, ms. */
const STARTS_MS = 5_000

/** @param path such as `/v1/cluster/leader` @throws Error when no answer comes */
export async function operate(node: NodePlace, path: string, request: Probe): Promise<Answer> {
  const url = agentUrl(node) + path
  if (node.namespace === null) return ask(url, request)
  const { timeoutMs, ...init } = request
  const script = ['--input-type=module', '-e', ASK, url, JSON.stringify(init), `${timeoutMs}`]
  const [program, ...args] = commandIn(node.namespace, [process.execPath, ...script])
  const { NODE_OPTIONS: _, ...env } = process.env
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: timeoutMs + STARTS_MS, env }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as Answer)
      else reject(new Error(`${url}: ${reasonIn(stderr) ?? error.message}`))
    })
  })
}

/** Of an error that nobody caught. */
function reasonIn(stderr: string): string | null {
  return stderr.split('\n').find(line => /Error\b.*:/.test(line)) ?? null
}
