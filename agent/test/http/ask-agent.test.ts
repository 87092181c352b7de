import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import t, { type Test } from 'tap'
import { askProven, type DialAgent } from '../../src/http/ask-agent.ts'

/** An HTTP server that answers all with this, and what it was asked. */
async function serve(t: Test, status: number, body: string) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(status).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { asked, address: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Dials as it is, and remembers whom. */
function dialling() {
  const dialled: string[] = []
  const dial: DialAgent = ({ host, port }, onOpen) => {
    dialled.push(`${host}:${port}`)
    const socket = connect(port, host, () => onOpen(socket))
    return socket
  }
  return { dialled, dial }
}

const join = () => ({ method: 'POST', path: '/join', signal: AbortSignal.timeout(10_000) })

t.test('an agent whose port for agents is known is asked there', async t => {
  const agent = await serve(t, 200, 'welcome')
  const { dialled, dial } = dialling()
  const ask = askProven(dial, [{ address: '10.0.0.1:8485', raftBind: agent.address }])
  const known = await ask({ address: '10.0.0.1:8485' }, join(), '{}')
  const told = await ask({ address: '10.0.0.2:8485', raftBind: agent.address }, join(), '{}')
  t.strictSame([known.body, told.body], ['welcome', 'welcome'])
  t.strictSame(dialled, [agent.address, agent.address])
  t.strictSame(agent.asked, ['POST /join', 'POST /join'])
})

t.test('one of which only the operators’ port is known tells who leads, and no more', async t => {
  const leader = await serve(t, 200, 'welcome')
  const operators = await serve(t, 200, JSON.stringify(leader.address))
  const { dialled, dial } = dialling()
  const answer = await askProven(dial, [])({ address: operators.address }, join(), '{"id":"n"}')
  t.equal(answer.body, 'welcome')
  t.strictSame(operators.asked, ['GET /v1/status/leader'], 'what is asked for does not go there')
  t.strictSame([dialled, leader.asked], [[leader.address], ['POST /join']])
})

t.test('what the operators’ port says is not taken for more than a place to dial', async t => {
  const rows: readonly [number, string, RegExp][] = [
    [200, '""', /knows no leader \(status 200\)/],
    [503, '"127.0.0.1:1"', /knows no leader \(status 503\)/],
    [200, '{"leader":"127.0.0.1:1"}', /knows no leader/],
    [200, '"nowhere"', /has no address for agents/],
    [200, '<html>', /JSON/],
  ]
  for (const [status, body, error] of rows) {
    const operators = await serve(t, status, body)
    const { dialled, dial } = dialling()
    await t.rejects(askProven(dial, [])({ address: operators.address }, join(), ''), error, body)
    t.strictSame(dialled, [], 'nobody is dialled')
  }
})

t.test('who cannot prove to be an agent is told nothing', async t => {
  const liar = await serve(t, 200, 'welcome')
  const operators = await serve(t, 200, JSON.stringify(liar.address))
  const dial: DialAgent = ({ host, port }) => {
    const socket = connect(port, host, () => socket.destroy(new Error('it is no raft-nginx agent')))
    return socket
  }
  const asking = askProven(dial, [])({ address: operators.address }, join(), '{"secret":1}')
  await t.rejects(asking, /it is no raft-nginx agent/)
  t.strictSame(liar.asked, [])
})
