/**
 * `overwrite-child.ts <directory>`: a node whose three entries are committed and applied meets a leader
 * of a later term that holds other ones from the second on. Prints what became of it, an `End` as JSON.
 */
import { asLogIndex, asNodeId, asTerm } from '../../../src/raft/types.ts'
import { reign, story } from './story.ts'

const prev = { index: asLogIndex(1), term: asTerm(1) }
const end = await story((network, fatal) =>
  reign(network, fatal, { leader: asNodeId('c'), term: 2, value: 'new', prev }),
)
process.stdout.write(`${JSON.stringify(end)}\n`)
