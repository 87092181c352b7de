import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Certificates } from '../../../scripts/faults/mixed/certificates.ts'
import type { Field } from '../../../scripts/faults/mixed/field.ts'
import { rotate } from '../../../scripts/faults/mixed/kinds/certificates.ts'
import { AGENT_PROGRAM } from '../../../scripts/lib/builds.ts'
import { DEFAULT_SHAPE, type NodePlace, placeOf } from '../../../scripts/lib/layout.ts'
import { anyNodeOf } from '../../../scripts/lib/membership.ts'

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

/** What an agent does at SIGHUP, and no more. */
const LISTENER = `process.on('SIGHUP', () => console.log('SIGHUP: read again'));
process.send('listens'); setInterval(() => undefined, 1000)`

async function startListener(t: Test, node: NodePlace): Promise<void> {
  mkdirSync(node.directory, { recursive: true })
  const log = openSync(node.agentLog, 'a')
  const args = ['-e', LISTENER, '--', AGENT_PROGRAM, '--config', node.configFile]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', log, log, 'ipc'],
    detached: true,
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  writeFileSync(node.agentPidFile, `${child.pid}\n`)
}

t.test('whoever waits to be added reads its certificates again too', async t => {
  const place = placeOf(t.testdir(), { ...DEFAULT_SHAPE, nodes: 1 })
  const [member, guest] = [anyNodeOf(place, 'node0'), anyNodeOf(place, 'node1')]
  for (const node of [member, guest]) await startListener(t, node)
  const certificates = { rotate: async (reread: () => Promise<void>) => reread() }
  const field = {
    ...{ certificates, rotating: false, spare: 1 },
    agents: { cluster: { place, nodes: place.nodes } },
  }
  const fault = await rotate(field as unknown as Field)
  await fault?.heal()
  for (const node of [member, guest]) {
    t.match(readFileSync(node.agentLog, 'utf8'), 'SIGHUP: read again', node.id)
  }
})
