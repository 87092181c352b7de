/** A stored row as Consul's API shows it; the agent's rows-json.ts and kv-read.ts write the same. */

/** What there is to tell of a key beside its value: numbers as digits, since flags have 64 bits. */
export interface About {
  readonly modifyIndex: string
  readonly createIndex: string
  readonly lockIndex: string
  readonly flags: string
  /** '' nobody holds its lock */
  readonly session: string
  /** '' none was given */
  readonly contentType: string
}

/** A leader that was heard of so lately counts as known, ms. */
const KNOWN_LEADER_MS = 2000

/** Null where the row does not say. */
export function aboutOf(row: string): About | null {
  const text = row.slice(1, row.indexOf('\n'))
  if (text === '') return null
  const fields = text.split(',')
  const modifyIndex = fields[0] as string
  return {
    modifyIndex: modifyIndex,
    createIndex: fields[1] || modifyIndex,
    lockIndex: fields[2] || '0',
    flags: fields[3] || '0',
    session: fields[4] || '',
    contentType: fields.slice(5).join(','),
  }
}

/** An empty value is null, as in Consul. */
export function rowJson(key: string, row: string, about: About): string {
  const payload = payloadOf(row)
  const base64 = isText(row) ? Buffer.from(payload).toString('base64') : payload
  const value = payload === '' ? 'null' : `"${base64}"`
  const holder = about.session === '' ? '' : `,"Session":${JSON.stringify(about.session)}`
  const name = `"LockIndex":${about.lockIndex},"Key":${JSON.stringify(key)},"Flags":${about.flags}`
  const indexes = `"CreateIndex":${about.createIndex},"ModifyIndex":${about.modifyIndex}`
  return `{${name},"Value":${value}${holder},${indexes}}`
}

/** The value as it was written. */
export function rawOf(row: string): string | Buffer {
  const payload = payloadOf(row)
  return isText(row) ? payload : Buffer.from(payload, 'base64')
}

/** nginx's own, or a stand-in. */
interface Headers {
  ETag?: string
  [name: string]: string | string[] | undefined
}

/** @param ageMs how old what is known here can be */
export function putKvHeaders(out: Headers, about: About, ageMs: number): void {
  out['Cache-Control'] = 'no-store'
  out.ETag = `"${about.modifyIndex}"`
  out['X-Consul-Index'] = about.modifyIndex
  out['X-Consul-KnownLeader'] = String(ageMs < KNOWN_LEADER_MS)
  out['X-Consul-LastContact'] = String(ageMs)
}

/** Whatever its writer called the value, a browser is not to run it. */
export function putRawHeaders(out: Headers, about: About): void {
  out['Content-Type'] = about.contentType || 'application/octet-stream'
  out['X-Content-Type-Options'] = 'nosniff'
  out['Content-Security-Policy'] = 'sandbox'
}

function isText(row: string): boolean {
  return row.charAt(0) === 'u'
}

function payloadOf(row: string): string {
  return row.slice(row.indexOf('\n') + 1)
}
