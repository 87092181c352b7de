import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Certificates } from '../../../scripts/faults/mixed/certificates.ts'

const IDS = ['node0', 'node1']

t.test('a new CA takes the place of the other in steps at which nobody is shut out', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'certificates-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const place = join(directory, 'tls')
  const textOf = (name: string) => readFileSync(join(place, name), 'utf8')
  const authorities = () =>
    textOf('ca.pem')
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .map(pem => new X509Certificate(pem))
  /** Which of the CAs vouches for each node. */
  const vouchers = () => {
    const all = authorities()
    return IDS.map(id => {
      const certificate = new X509Certificate(textOf(`${id}.pem`))
      return all.findIndex(({ publicKey }) => certificate.verify(publicKey))
    })
  }

  const certificates = await Certificates.make({ place, cluster: 'c', ids: IDS, env: {} })
  t.strictSame([authorities().length, vouchers()], [1, [0, 0]])
  const first = textOf('ca.pem')
  const steps: unknown[] = []
  const reread = async () => {
    steps.push([authorities().length, vouchers()])
  }
  await certificates.rotate(reread)
  const all = [
    [2, [0, 0]],
    [2, [1, 1]],
    [1, [0, 0]],
  ]
  t.strictSame(steps, all, 'both CAs; new pairs; the new CA alone')
  t.not(textOf('ca.pem'), first)
  await certificates.rotate(reread)
  t.strictSame(steps, [...all, ...all], 'once more')
})
