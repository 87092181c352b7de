import { createPrivateKey, hkdfSync, X509Certificate } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import type { NodeId } from '../raft/types.ts'
import { nodeNamed, peerName } from './peer-name.ts'

/** How a node proves to the others who it is, and knows them. */
export type Credentials =
  | {
      readonly kind: 'certificates'
      /** PEM; one or more */
      readonly ca: string
      /** PEM; of this node first, then those between it and the CA */
      readonly cert: string
      /** PEM */
      readonly key: string
      /** parsed from `ca` */
      readonly authorities: readonly X509Certificate[]
      /** The first of them and of its own that ends. */
      readonly expires: Date
    }
  | {
      readonly kind: 'secret'
      /** for TLS, derived from what is in the file; 32 bytes */
      readonly key: Buffer
    }

/** Where they are: absolute paths. */
export type CredentialFiles =
  | {
      readonly kind: 'certificates'
      readonly ca: string
      readonly cert: string
      readonly key: string
    }
  | { readonly kind: 'secret'; readonly file: string }

/** Who they have to be for. */
export interface Holder {
  readonly clusterId: string
  readonly nodeId: NodeId
}

/** What can be guessed is no secret. */
const SECRET_CHARACTERS_MIN = 32
const READABLE_BY_OTHERS = 0o004
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** @throws Error in words for the operator, with the path of the file that is to blame */
export function readCredentials(files: CredentialFiles, holder: Holder): Credentials {
  if (files.kind === 'secret') return readSecret(files.file, holder)
  const authorities = certificatesIn(files.ca, read(files.ca))
  const cert = read(files.cert)
  const key = readPrivate(files.key)
  const [own] = certificatesIn(files.cert, cert)
  if (own === undefined) throw new Error(`${files.cert} holds no certificate in PEM form`)
  checkKey(files, own, key)
  checkOwner(files.cert, own, holder)
  const ends = [own, ...authorities].map(({ validTo }) => new Date(validTo).getTime())
  const ca = authorities.map(authority => authority.toString()).join('')
  return { kind: 'certificates', ca, cert, key, authorities, expires: new Date(Math.min(...ends)) }
}

function readSecret(file: string, { clusterId }: Holder): Credentials {
  const secret = readPrivate(file).trim()
  if (secret.length < SECRET_CHARACTERS_MIN) {
    throw new Error(
      `${file} holds ${secret.length} characters: a secret of at least ${SECRET_CHARACTERS_MIN} is needed, such as \`openssl rand -base64 33\` gives`,
    )
  }
  // One secret in two clusters by mistake: still two keys.
  const derived = hkdfSync('sha256', secret, clusterId, 'raft-nginx peers 1', 32)
  return { kind: 'secret', key: Buffer.from(derived) }
}

function checkKey(
  { cert, key: file }: { cert: string; key: string },
  own: X509Certificate,
  key: string,
): void {
  let matches: boolean
  try {
    matches = own.checkPrivateKey(createPrivateKey(key))
  } catch (cause) {
    throw new Error(`${file} holds no private key in PEM form, or one with a passphrase`, { cause })
  }
  if (!matches) throw new Error(`${file} is not the key of the certificate in ${cert}`)
}

function checkOwner(file: string, own: X509Certificate, { clusterId, nodeId }: Holder): void {
  const named = nodeNamed(clusterId, own.subjectAltName)
  if (named === nodeId) return
  const found =
    named === null ? (own.subjectAltName ?? 'no other names') : `${named} of this cluster`
  throw new Error(
    `${file} is not for this node: it must have the alternative name URI:${peerName(clusterId, nodeId)}, and has ${found.slice(0, 300)}`,
  )
}

function certificatesIn(file: string, text: string): readonly X509Certificate[] {
  const pems = text.match(CERTIFICATE) ?? []
  if (pems.length === 0) throw new Error(`${file} holds no certificate in PEM form`)
  try {
    return pems.map(pem => new X509Certificate(pem))
  } catch (cause) {
    throw new Error(`${file} holds a damaged certificate`, { cause })
  }
}

/** @throws Error when others of this machine can read it too */
function readPrivate(file: string): string {
  const descriptor = opened(file)
  try {
    const { mode } = fstatSync(descriptor)
    if ((mode & READABLE_BY_OTHERS) !== 0) {
      throw new Error(`${file} can be read by everybody on this machine: chmod 600 it, or 640`)
    }
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

function read(file: string): string {
  const descriptor = opened(file)
  try {
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

function opened(file: string): number {
  try {
    return openSync(file, 'r')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Error(code === 'ENOENT' ? `there is no file ${file}` : `${file}: ${message}`)
  }
}
