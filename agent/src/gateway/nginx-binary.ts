/** What the renderer asks of the nginx on this machine. */

import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'

const JS_MODULE = 'ngx_http_js_module.so'

export type NginxAnswer = { readonly ok: boolean; readonly text: string }

/** Runs nginx to its end. `text` is all that it said; it also tells why nginx could not be run. */
export function runNginx(binary: string, args: readonly string[]): NginxAnswer {
  const result = spawnSync(binary, args, { encoding: 'utf8' })
  if (result.error) return { ok: false, text: `cannot run ${binary}: ${result.error.message}\n` }
  return { ok: result.status === 0, text: result.stdout + result.stderr }
}

/** What it wrote where, of an nginx that ran to its end. */
export interface NginxRun {
  readonly ok: boolean
  readonly stdout: string
  /** what it said; also why it could not be run, or that it took too long */
  readonly stderr: string
}

/** Of a configuration with all its files. */
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024

/** As `runNginx`, for a process that has more to do meanwhile. Never rejects. */
export function startNginx(
  binary: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<NginxRun> {
  return new Promise(resolve => {
    const options = { encoding: 'utf8', timeout: timeoutMs, maxBuffer: OUTPUT_BYTES_MAX } as const
    execFile(binary, [...args], options, (error, stdout, stderr) => {
      const said = stderr.trim() === '' && error !== null ? `cannot run ${error.message}` : stderr
      const late = error?.killed === true ? `\nno end within ${timeoutMs} ms` : ''
      resolve({ ok: error === null, stdout, stderr: said + late })
    })
  })
}

/** Path of njs's module for `binary`, or null when there is no such file: nginx may have it built in. */
export function findJsModule(binary: string): string | null {
  const build = runNginx(binary, ['-V']).text
  const modulesPath = /--modules-path=(\S+)/.exec(build)?.[1]
  // Beside the binary first: one in a directory of its own has its own modules.
  const beside = path.resolve(path.dirname(binary), '../lib/nginx/modules')
  const folders = [beside, modulesPath, '/usr/lib/nginx/modules', '/usr/lib64/nginx/modules']
  for (const folder of [...folders, '/etc/nginx/modules']) {
    if (folder === undefined) continue
    const file = path.join(folder, JS_MODULE)
    if (existsSync(file)) return file
  }
  return null
}
