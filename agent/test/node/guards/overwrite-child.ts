/**
 * `overwrite-child.ts <directory>`: a node whose three entries are committed and applied meets a leader
 * of a later term that holds other ones from the second on. Prints what became of it, an `End` as JSON.
 */
import { asLogIndex, asNodeId, asTerm, ORIGIN } from '../../../src/raft/types.ts'
import { MemoryNetwork } from '../../../src/transport/memory-transport.ts'
import { eventually } from '../in-process-cluster.ts'
import { type End, isNew, LAST, nodeOn, onDisk, reign, startAgain } from './story.ts'

process.stdout.write(`${JSON.stringify(await overwrite())}\n`)

async function overwrite(): Promise<End> {
  const network = new MemoryNetwork()
  const fatal: unknown[] = []
  const node = nodeOn(network, fatal)
  await node.start()
  const first = { leader: asNodeId('b'), term: 1, value: 'old', prev: ORIGIN }
  await reign(network, fatal, first)
  await eventually('all is applied', () => node.status().appliedIndex === LAST || undefined)
  const prev = { index: asLogIndex(1), term: asTerm(1) }
  await reign(network, fatal, { leader: asNodeId('c'), term: 2, value: 'new', prev })
  await eventually('an end', async () => fatal.length > 0 || (await isNew(node)) || undefined)
  await node.stop()
  const stopped = fatal.length > 0 ? String(fatal[0]) : null
  return { stopped, refused: await startAgain(), ...(await onDisk()) }
}
