import type { LogPosition, NodeId } from '../../src/raft/types.ts'
import type { DurableImage } from '../raft/durable-image.ts'
import type { SimulatedDisk } from './disk.ts'

/** Of who holds the disk of that number under a name; 0: the founder's. */
export function incarnationOf(id: NodeId, disk: number): string {
  return `${id}${disk}`
}

/** The disks that a node had before its present one. */
export class FormerDisks {
  /** the one before it; it counts as a copy, since a minority may be lost */
  lost: SimulatedDisk | null = null
  #count = 0
  readonly #retired: DurableImage[] = []

  /** Of the present one. */
  get number(): number {
    return this.#count
  }

  replace(): void {
    this.#count++
  }

  /** The node is somebody else from now on. */
  retire({ image }: SimulatedDisk): void {
    this.#retired.push(image)
  }

  /** On the present disk, or on the one that was lost. */
  holds(present: SimulatedDisk, position: LogPosition): boolean {
    return [present, this.lost].some(disk => {
      if (disk === null) return false
      return position.index <= disk.image.base.index || disk.image.holds(position)
    })
  }

  /** On any disk that it ever had. */
  everHeld(present: SimulatedDisk, position: LogPosition): boolean {
    return this.holds(present, position) || this.#retired.some(image => image.holds(position))
  }
}
