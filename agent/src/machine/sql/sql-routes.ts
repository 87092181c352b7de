import { type Context, Hono } from 'hono'
import type { MachineHost, WebApp } from '../plug-in/host.ts'
import { encodeCommand, parseExecute, parseQuery } from './command.ts'
import { objectionToRead, objectionToWrite } from './rules.ts'
import type { SqlAnswer } from './sql-engine.ts'

/** What a client should know beyond 400: whether to send it again, and when. */
const STATUS: Readonly<Record<string, 413 | 500 | 503>> = {
  RESULT_TOO_LARGE: 413,
  QUERY_FAILED: 500,
  QUERY_TIMEOUT: 503,
  OVERLOADED: 503,
}

/** `POST execute` changes, through the leader; `POST query` reads, on the node that was reached. */
export function sqlRoutes(host: MachineHost): WebApp {
  return new Hono()
    .post('/execute', async c => {
      const command = parseExecute(await c.req.text())
      if ('problem' in command) return refused(c, 'BAD_BODY', command.problem)
      for (const [at, { sql }] of command.statements.entries()) {
        const objection = objectionToWrite(sql)
        if (objection === null) continue
        return refused(c, objection.code, `statement ${at}: ${objection.detail}`)
      }
      return json(await host.propose(c.req.raw, encodeCommand(command)))
    })
    .post('/query', async c => {
      const query = parseQuery(await c.req.text())
      if ('problem' in query) return refused(c, 'BAD_BODY', query.problem)
      const objection = objectionToRead(query.sql)
      if (objection !== null) return refused(c, objection.code, objection.detail)
      const bytes = await host.query(c.req.raw, Buffer.from(JSON.stringify(query)))
      const answer = JSON.parse(Buffer.from(bytes).toString()) as SqlAnswer
      if (!('error' in answer)) return json(bytes)
      return refused(c, answer.error.code, answer.error.detail)
    })
    .notFound(c => refused(c, 'NOT_FOUND', 'POST /fsm/sql/execute and POST /fsm/sql/query'))
}

function json(bytes: Uint8Array<ArrayBuffer>): Response {
  return new Response(bytes, { headers: { 'Content-Type': 'application/json' } })
}

function refused(c: Context, code: string, detail: string): Response {
  const status = code === 'NOT_FOUND' ? 404 : (STATUS[code] ?? 400)
  const headers = { 'Content-Type': 'application/problem+json' }
  const retryable = status === 503
  const body = { type: 'about:blank', status, code, detail, retryable }
  return c.body(`${JSON.stringify(body)}\n`, status, headers)
}
