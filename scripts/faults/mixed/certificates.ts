/** The certificates by which agents know each other, and how a CA takes the place of another one: agent/docs/security.md. */

import { copyFileSync, cpSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT } from '../../lib/layout.ts'
import { run } from '../../net/tools.ts'

const PROGRAM = join(ROOT, 'agent/dist/cli/raft-nginx.js')

export interface CertificateOptions {
  /** where all agents look for theirs: a link, so that all that is in it changes at once */
  readonly place: string
  readonly cluster: string
  readonly ids: readonly string[]
  /** of the program that makes them */
  readonly env: Readonly<Record<string, string>>
}

export class Certificates {
  readonly #options: CertificateOptions
  #count = 0
  #current: string

  private constructor(options: CertificateOptions) {
    this.#options = options
    this.#current = `${options.place}.0`
  }

  static async make(options: CertificateOptions): Promise<Certificates> {
    const made = new Certificates(options)
    await made.#issue(made.#current)
    made.#show(made.#current)
    return made
  }

  /** To a new CA, and new certificates of all. @param reread has every agent read its files again */
  async rotate(reread: () => Promise<void>): Promise<void> {
    this.#count += 1
    const [old, next] = [this.#current, `${this.#options.place}.${this.#count}`]
    await this.#issue(next)
    // Whose certificate is of either is let in.
    const both = `${next}.both`
    cpSync(old, both, { recursive: true })
    const authorities = [old, next].map(each => readFileSync(join(each, 'ca.pem'), 'utf8'))
    writeFileSync(join(both, 'ca.pem'), authorities.join(''))
    await this.#step(both, reread)
    const pairs = `${next}.pairs`
    cpSync(next, pairs, { recursive: true })
    copyFileSync(join(both, 'ca.pem'), join(pairs, 'ca.pem'))
    await this.#step(pairs, reread)
    this.#current = next
    await this.#step(next, reread)
  }

  async #step(directory: string, reread: () => Promise<void>): Promise<void> {
    this.#show(directory)
    await reread()
  }

  async #issue(directory: string): Promise<void> {
    const { cluster, ids, env } = this.#options
    const args = ['--dir', directory, '--cluster-name', cluster, '--nodes', ids.join(',')]
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    await run('env', [...words, process.execPath, PROGRAM, 'tls', 'init', ...args])
  }

  #show(directory: string): void {
    const { place } = this.#options
    const link = `${place}.link`
    symlinkSync(basename(directory), link)
    renameSync(link, place)
  }
}
