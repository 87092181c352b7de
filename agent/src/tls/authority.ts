import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { NodeId } from '../raft/types.ts'
import { clusterName, peerName } from './peer-name.ts'

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNATURE = { ...KEY, hash: 'SHA-256' } as const
const DAY_MS = 86_400_000
/** Clocks of a fleet differ: what is made now is to hold on all of them. */
const CLOCK_SLACK_MS = 3_600_000

/** A certificate and its private key, both PEM. */
export interface Issued {
  readonly certificate: string
  readonly key: string
}

export interface AuthorityRequest {
  readonly cluster: string
  readonly from: Date
  readonly days: number
}

export interface NodeRequest extends AuthorityRequest {
  readonly node: NodeId
  /** names and addresses under which HTTP or nginx reach it */
  readonly hosts: readonly string[]
}

/** A certificate authority of its own for one cluster: P-256, good for signing the certificates of nodes and for nothing below them. */
export async function makeAuthority({ cluster, from, days }: AuthorityRequest): Promise<Issued> {
  const keys = await keyPair()
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: distinguishedName(`raft-nginx CA ${from.toISOString().slice(0, 10)} of ${cluster}`),
      ...validity(from, days),
      signingAlgorithm: SIGNATURE,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        new SubjectAlternativeNameExtension([{ type: 'url', value: clusterName(cluster) }]),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  )
  return issued(certificate, keys.privateKey)
}

/** The certificate of a node, for both ends of a connection. Ends with its CA's own, at the latest. */
export async function makeNode(authority: Issued, request: NodeRequest): Promise<Issued> {
  const { cluster, node, hosts, from, days } = request
  const ca = new X509Certificate(authority.certificate)
  const keys = await keyPair()
  const span = validity(from, days)
  const names: JsonGeneralName[] = [
    { type: 'url', value: peerName(cluster, node) },
    ...hosts.map((value): JsonGeneralName => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
  ]
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: distinguishedName(node),
      issuer: ca.subject,
      notBefore: span.notBefore,
      notAfter: new Date(Math.min(span.notAfter.getTime(), ca.notAfter.getTime())),
      signingAlgorithm: SIGNATURE,
      publicKey: keys.publicKey,
      signingKey: await privateKey(authority.key),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension(names),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
        await AuthorityKeyIdentifierExtension.create(ca.publicKey),
      ],
    },
    webcrypto,
  )
  return issued(certificate, keys.privateKey)
}

cryptoProvider.set(webcrypto)

type Pair = Awaited<ReturnType<typeof keyPair>>

async function keyPair() {
  return webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify'])
}

async function privateKey(pem: string): Promise<Pair['privateKey']> {
  const [der] = PemConverter.decode(pem)
  if (der === undefined) throw new Error('no private key in PEM form')
  return webcrypto.subtle.importKey('pkcs8', der, KEY, false, ['sign'])
}

async function issued(certificate: X509Certificate, key: Pair['privateKey']): Promise<Issued> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: `${PemConverter.encode(der, 'PRIVATE KEY')}\n`,
  }
}

function validity(from: Date, days: number): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(from.getTime() - CLOCK_SLACK_MS),
    notAfter: new Date(from.getTime() + days * DAY_MS),
  }
}

/** Random, positive, 16 bytes (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return Buffer.from(bytes).toString('hex')
}

function distinguishedName(name: string): { CN: string[] }[] {
  return [{ CN: [name.slice(0, 64)] }]
}
