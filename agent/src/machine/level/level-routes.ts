import { type Context, Hono } from 'hono'
import type { MachineHost, WebApp } from '../plug-in/host.ts'
import {
  decodeKeys,
  decodeRow,
  encodeCommand,
  encodeQuery,
  KEY_BYTES_MAX,
  LIST_MAX,
  VALUE_BYTES_MAX,
} from './command.ts'

const LIST_DEFAULT = 100

/** `PUT`, `GET` and `DELETE /keys/<key>` of bytes, and `GET /keys?prefix=&after=&limit=`. */
export function levelRoutes(host: MachineHost): WebApp {
  return new Hono()
    .get('/keys', async c => {
      const limit = Number(c.req.query('limit') ?? LIST_DEFAULT)
      if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX) {
        return refused(c, { status: 400, code: 'BAD_LIMIT', detail: `limit is 1 to ${LIST_MAX}` })
      }
      const prefix = Buffer.from(c.req.query('prefix') ?? '')
      const after = Buffer.from(c.req.query('after') ?? '')
      const query = encodeQuery({ kind: 'list', prefix, after, limit })
      const keys = decodeKeys(await host.query(c.req.raw, query))
      return c.json({
        keys: keys.map(({ key, ...rest }) => ({ key: Buffer.from(key).toString(), ...rest })),
      })
    })
    .get('/keys/:key{.+}', async c => {
      const key = Buffer.from(c.req.param('key'))
      const row = decodeRow(await host.query(c.req.raw, encodeQuery({ kind: 'get', key })))
      if (row === null) {
        return refused(c, { status: 404, code: 'KEY_NOT_FOUND', detail: 'there is no such key' })
      }
      return c.body(Uint8Array.from(row.value), 200, {
        'Content-Type': 'application/octet-stream',
        'X-Create-Index': String(row.createIndex),
        'X-Modify-Index': String(row.modifyIndex),
      })
    })
    .put('/keys/:key{.+}', async c => {
      const key = Buffer.from(c.req.param('key'))
      const value = new Uint8Array(await c.req.arrayBuffer())
      if (value.length > VALUE_BYTES_MAX) {
        const detail = `a value has at most ${VALUE_BYTES_MAX} bytes`
        return refused(c, { status: 413, code: 'TOO_LARGE', detail })
      }
      if (key.length > KEY_BYTES_MAX) return keyTooLong(c)
      await host.propose(c.req.raw, encodeCommand({ kind: 'put', key, value }))
      return c.body(null, 204)
    })
    .delete('/keys/:key{.+}', async c => {
      const key = Buffer.from(c.req.param('key'))
      if (key.length > KEY_BYTES_MAX) return keyTooLong(c)
      await host.propose(c.req.raw, encodeCommand({ kind: 'delete', key }))
      return c.body(null, 204)
    })
    .notFound(c => refused(c, { status: 404, code: 'NOT_FOUND', detail: 'keys, and keys/<key>' }))
}

function keyTooLong(c: Context): Response {
  const detail = `a key has at most ${KEY_BYTES_MAX} bytes`
  return refused(c, { status: 400, code: 'KEY_TOO_LONG', detail })
}

function refused(
  c: Context,
  { status, ...problem }: { status: 400 | 404 | 413; code: string; detail: string },
): Response {
  const body = { type: 'about:blank', status, ...problem, retryable: false }
  return c.body(`${JSON.stringify(body)}\n`, status, { 'Content-Type': 'application/problem+json' })
}
