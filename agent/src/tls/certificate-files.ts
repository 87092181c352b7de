import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeId } from '../raft/types.ts'
import { clusterNamed } from './peer-name.ts'

/** A node of this name could not be told from the authority. */
const AUTHORITY = 'ca'

/** Where `raft-nginx tls` keeps what it makes: `ca.pem`, `ca.key`, and a pair a node. */
export class CertificateFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** @throws Error when there is none, or not all of it */
  get authority(): Pair & { readonly cluster: string } {
    const pair = this.#pair(AUTHORITY)
    if (pair === null) throw new Error(`there is no CA in ${this.#directory}: raft-nginx tls init`)
    const cluster = clusterNamed(new X509Certificate(pair.certificate).subjectAltName)
    if (cluster === null)
      throw new Error(`${this.#path(AUTHORITY).certificate} is no CA of a cluster`)
    return { ...pair, cluster }
  }

  get hasAuthority(): boolean {
    return this.#pair(AUTHORITY) !== null
  }

  hasNode(node: NodeId): boolean {
    if (node === AUTHORITY) throw new Error(`a node cannot be called ${AUTHORITY} here`)
    return this.#pair(node) !== null
  }

  /** Never over what is there. @returns where */
  write(of: NodeId | typeof AUTHORITY, pair: Pair): Paths {
    const paths = this.#path(of)
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    writeFileSync(paths.key, pair.key, { flag: 'wx', mode: 0o600 })
    writeFileSync(paths.certificate, pair.certificate, { flag: 'wx', mode: 0o644 })
    return paths
  }

  /** Paths of all certificates. */
  list(): readonly string[] {
    if (!existsSync(this.#directory)) throw new Error(`there is no directory ${this.#directory}`)
    const names = readdirSync(this.#directory).filter(name => name.endsWith('.pem'))
    return names.sort().map(name => join(this.#directory, name))
  }

  #pair(of: string): Pair | null {
    const { certificate, key } = this.#path(of)
    const there = [certificate, key].filter(path => existsSync(path))
    if (there.length === 1) {
      throw new Error(`${certificate} and ${key} belong together, and only ${there[0]} is there`)
    }
    if (there.length === 0) return null
    return { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') }
  }

  #path(of: string): Paths {
    return {
      certificate: join(this.#directory, `${of}.pem`),
      key: join(this.#directory, `${of}.key`),
    }
  }
}

/** PEM both. */
interface Pair {
  readonly certificate: string
  readonly key: string
}

interface Paths {
  readonly certificate: string
  readonly key: string
}

/** What a certificate says, for people. */
export interface Shown {
  readonly file: string
  readonly subject: string
  readonly names: string
  readonly until: Date
}

/** @throws Error when it is none */
export function showCertificates(file: string): readonly Shown[] {
  const text = readFileSync(file, 'utf8')
  const pems = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)
  if (pems === null) throw new Error(`${file} holds no certificate in PEM form`)
  return pems.map(pem => {
    const { subject, subjectAltName = '', validTo } = new X509Certificate(pem)
    return { file, subject, names: subjectAltName, until: new Date(validTo) }
  })
}
