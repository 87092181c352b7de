import t from 'tap'
import { parseAnswer } from '../../../scripts/benchmark/http-loop.ts'

const HEAD = 'HTTP/1.1 200 OK\r\n'

t.test('an answer is whole by its length, or with its last chunk', async t => {
  t.equal(parseAnswer(`${HEAD}Content-Le`), null)
  t.equal(parseAnswer(`${HEAD}Content-Length: 5\r\n\r\nabcd`), null)
  t.match(parseAnswer(`${HEAD}content-length: 5\r\n\r\nabcde`), { status: 200, bodyBytes: 5 })
  t.equal(parseAnswer(`${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n`), null)
  t.match(parseAnswer(`${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`), {
    status: 200,
  })
})

t.test('the status counts, and whether the connection ends', async t => {
  const refused =
    'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'
  t.match(parseAnswer(refused), { status: 503, bodyBytes: 0, closing: true })
  t.match(parseAnswer(`${HEAD}Content-Length: 0\r\n\r\n`), { closing: false })
})
