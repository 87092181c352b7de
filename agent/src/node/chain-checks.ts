import { DecodeError } from '../lib/bytes.ts'
import { votersOf } from '../raft/configuration.ts'
import type { NodeId } from '../raft/types.ts'
import {
  type ChainReport,
  DivergenceDetector,
  decodeReport,
  encodeReport,
  type Verdict,
} from './divergence.ts'
import type { Loop } from './loop.ts'
import type { CheckStatus } from './node-api.ts'
import type { NodeOptions } from './node-options.ts'
import { NotServing } from './not-serving.ts'
import { NO_MARK, type Quarantined, quarantineText } from './quarantine.ts'

/** Between two checks, unless the options say otherwise, ms. */
const INTERVAL_MS = 10_000
/** No client of this node asked for a check. */
const NOBODY = 0

/** Has all machines of the cluster compared now and then, and takes this node out when its own is the wrong one. */
export class ChainChecks {
  readonly #options: NodeOptions<never, unknown>
  readonly #loop: Loop
  /** what clients wait for here is not answered from a machine that is wrong */
  readonly #abandon: () => void
  readonly #detector: DivergenceDetector
  #verdict: Verdict['kind'] = 'open'
  #quarantined: Quarantined | null = null
  /** monotonic ms */
  #proposedAt = Number.NEGATIVE_INFINITY
  /** whose difference was told of already */
  #told = ''

  constructor(options: NodeOptions<never, unknown>, loop: Loop, abandon: () => void) {
    this.#options = options
    this.#loop = loop
    this.#abandon = abandon
    this.#detector = new DivergenceDetector(options.identity.nodeId)
  }

  /** Null before the first check since the start. */
  get status(): CheckStatus | null {
    const { own } = this.#detector
    if (own === null) return null
    // Later checks are passed too, and not judged: whoever differed once is wrong until it is mended.
    return { index: own.index, verdict: this.#quarantined === null ? this.#verdict : 'differs' }
  }

  get quarantined(): Quarantined | null {
    return this.#quarantined
  }

  /** Members whose machines are known to be wrong, as long as this node's is not. */
  get distrusted(): readonly NodeId[] {
    if (this.#quarantined !== null || this.#verdict === 'undecided') return []
    return this.#detector.differing(this.#loop.state().configuration)
  }

  /** @throws NotServing */
  mustBeTrusted(): void {
    if (this.#quarantined !== null)
      throw new NotServing(`this node is ${quarantineText(this.#quarantined)}`)
  }

  /** Before the first step of the core. */
  async start(): Promise<void> {
    this.#quarantined = await this.#mark.read()
    if (this.#quarantined === null) return
    this.#options.logger.error({ ...this.#quarantined }, quarantineText(this.#quarantined))
    this.#loop.post({ kind: 'stand-aside' })
  }

  /** The machine is exactly at a check entry. */
  passed(own: ChainReport): void {
    this.#detector.passed(own, this.#now())
    this.#verdict = 'open'
    const notice = encodeReport(own)
    for (const { id } of this.#loop.state().configuration.members) this.#notify(id, notice)
    this.#judge()
  }

  heard(from: NodeId, notice: Uint8Array): void {
    const report = this.#decoded(from, notice)
    if (report === null) return
    const { own } = this.#detector
    if (this.#detector.heard(from, report) && own !== null) this.#notify(from, encodeReport(own))
    this.#judge()
  }

  /** To be called now and then. */
  tick(): void {
    if (this.#verdict === 'open') this.#judge()
    const [intervalMs, now] = [this.#options.checkIntervalMs ?? INTERVAL_MS, this.#now()]
    const { role, applied, configuration } = this.#loop.state()
    if (role.kind !== 'leader' || intervalMs === 0) return
    if (now - this.#proposedAt < intervalMs || configuration.members.length < 2) return
    // A check is an entry too: without others since, there is nothing to compare anew.
    if (applied <= (this.#detector.own?.index ?? 0)) return
    this.#proposedAt = now
    this.#loop.post({ kind: 'propose-check', id: NOBODY })
  }

  #judge(): void {
    const { configuration } = this.#loop.state()
    if (this.#quarantined !== null || votersOf(configuration).length === 0) return
    const verdict = this.#detector.verdict(configuration, this.#now())
    const before = this.#verdict
    this.#verdict = verdict.kind
    if (verdict.kind === 'differs') this.#enter(verdict.majority)
    else if (verdict.kind === 'undecided' && before !== 'undecided') this.#alarm()
    else if (verdict.kind === 'agreed') this.#tellOfOthers()
  }

  #enter(majority: string): void {
    const { own } = this.#detector
    if (own === null) return
    const hash = Buffer.from(own.chainHash).toString('hex')
    const since = new Date(this.#options.clock.wallMs()).toISOString()
    const quarantined = { index: own.index, own: hash, majority, since }
    this.#quarantined = quarantined
    this.#options.logger.error({ ...quarantined }, quarantineText(quarantined))
    this.#loop.post({ kind: 'stand-aside' })
    this.#abandon()
    // Unmarked, a restart would serve it again.
    this.#mark.write(quarantined).catch(this.#loop.fail)
    this.#options.onQuarantine?.()
  }

  #alarm(): void {
    const { own } = this.#detector
    const differing = this.#detector.differing(this.#loop.state().configuration)
    const line =
      'the machines of the voters differ, and no majority of them agrees: nobody can tell which is right'
    this.#options.logger.error({ index: own?.index, differing }, line)
  }

  #tellOfOthers(): void {
    const { own } = this.#detector
    const differing = this.#detector.differing(this.#loop.state().configuration)
    if (differing.join() === this.#told) return
    this.#told = differing.join()
    if (differing.length === 0) return
    const line = 'the machines of these members differ from that of a majority'
    this.#options.logger.error({ index: own?.index, differing }, line)
  }

  #decoded(from: NodeId, notice: Uint8Array): ChainReport | null {
    try {
      return decodeReport(notice)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.#options.logger.warn({ from, err: error }, 'a notice is not understood')
      return null
    }
  }

  #notify(to: NodeId, notice: Uint8Array): void {
    if (to !== this.#options.identity.nodeId) this.#options.transport.notify(to, notice)
  }

  get #mark() {
    return this.#options.quarantine ?? NO_MARK
  }

  #now(): number {
    return this.#options.clock.now()
  }
}
