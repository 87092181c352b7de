/** Prometheus' text format, read strictly. */
export interface Scrape {
  /** name → its type; without the suffixes of a histogram's samples */
  readonly types: ReadonlyMap<string, string>
  /** sample as written, such as `up{a="b"}` → value */
  readonly samples: ReadonlyMap<string, number>
}

const TYPE = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/
const SAMPLE = /^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)$/

/** @throws Error for a line that is neither, for a sample of an undeclared metric, and for one that comes twice */
export function parseMetrics(text: string): Scrape {
  const types = new Map<string, string>()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    const type = TYPE.exec(line)
    if (type === null) addSample(line, types, samples)
    else add(types, type[1] as string, type[2] as string)
  }
  return { types, samples }
}

function addSample(line: string, types: Scrape['types'], samples: Map<string, number>): void {
  const sample = SAMPLE.exec(line)
  if (sample === null) throw new Error(`neither comment nor sample: ${line}`)
  const [, name = '', labels = '', value] = sample
  const family = types.get(name.replace(/_(bucket|sum|count)$/, ''))
  if (!types.has(name) && family !== 'histogram' && family !== 'summary') {
    throw new Error(`a sample without its type: ${line}`)
  }
  add(samples, name + labels, Number(value))
}

function add<T>(into: Map<string, T>, name: string, value: T): void {
  if (into.has(name)) throw new Error(`comes twice: ${name}`)
  into.set(name, value)
}
