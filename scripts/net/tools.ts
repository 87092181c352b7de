/** Commands of the system's administrator. */

import { execFile } from 'node:child_process'

/** An ordinary PATH often lacks it. */
export function withSbin(): NodeJS.ProcessEnv {
  const { PATH = '', ...others } = process.env
  return { ...others, PATH: `${PATH}:/usr/sbin:/sbin` }
}

/** @param input for its standard input @throws Error with what the program says */
export function run(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { env: withSbin() }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ${args.join(' ')}: ${stderr.trim() || error.message}`))
    })
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

/** `ip`, its arguments separated by blanks. */
export function ip(command: string): Promise<string> {
  return run('ip', command.split(' '))
}
