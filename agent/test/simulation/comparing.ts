import { DivergenceDetector } from '../../src/node/divergence.ts'
import { votersOf } from '../../src/raft/configuration.ts'
import type { Entry } from '../../src/raft/types.ts'
import type { SimulatedNode } from './node.ts'
import type { Notice } from './pieces.ts'
import type { Scheduler } from './scheduler.ts'
import { must } from './violation.ts'

interface Parts {
  readonly node: SimulatedNode
  readonly scheduler: Scheduler
  readonly send: (notice: Notice) => void
}

/** Has the real detector compare this node's machine with the others' at check entries. */
export class Comparing {
  readonly #parts: Parts
  #detector: DivergenceDetector

  constructor(parts: Parts) {
    this.#parts = parts
    this.#detector = new DivergenceDetector(parts.node.id)
  }

  /** Reports are not kept. */
  crash(): void {
    this.#detector = new DivergenceDetector(this.#parts.node.id)
  }

  /** The machine is exactly at a check entry. */
  passed({ index, term }: Entry): void {
    const { node, scheduler } = this.#parts
    const chainHash = new Uint8Array(new Uint32Array([node.machine.hash]).buffer)
    this.#detector.passed({ index, term, chainHash }, scheduler.now)
    for (const { id } of node.configuration.members) if (id !== node.id) this.#tell(id)
    this.#judge()
  }

  heard({ from, report }: Notice): void {
    if (this.#detector.heard(from, report)) this.#tell(from)
    this.#judge()
  }

  #tell(to: SimulatedNode['id']): void {
    const { own: report } = this.#detector
    if (report !== null) this.#parts.send({ kind: 'notice', from: this.#parts.node.id, to, report })
  }

  #judge(): void {
    const { node, scheduler } = this.#parts
    if (node.aside || votersOf(node.configuration).length === 0) return
    const verdict = this.#detector.verdict(node.configuration, scheduler.now)
    if (verdict.kind !== 'differs') return
    must(node.machine.hasDiverged, 'Machines: only a wrong one stands aside')
    node.standAside()
  }
}
