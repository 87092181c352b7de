import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { EventReader } from '../../src/cli/watch.ts'
import { run, speaker } from './harness.ts'

t.test('bad usage is exit status 2 and says what', async t => {
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['fly'], /unknown command 'fly'/],
    [['kv', 'get'], /missing required argument 'key'/],
    [['kv', 'get', 'a', 'b'], /too many arguments/],
    [['kv', 'get', 'a', '--sideways'], /unknown option '--sideways'/],
    [['kv', 'put', 'a', 'b', '--cas', 'x'], /a whole number/],
    [['--timeout', 'soon', 'status'], /seconds are needed/],
    [['-e', 'ftp://x', 'status'], /an endpoint is/],
    [['-e', 'http://h/path', 'status'], /an endpoint is/],
    [['-e', 'unix:relative', 'status'], /a unix endpoint/],
    [['agent'], /--config/],
    [['dev', '--nodes', '0'], /from 1 to 9/],
    [['nginx', 'render', '--nope'], /--nope/],
    [['config', 'chek'], /unknown command 'chek'/],
  ]
  for (const [args, says] of wrong) {
    const got = await run(args)
    t.equal(got.code, 2, args.join(' '))
    t.match(got.stderr, says)
    t.equal(got.stdout, '')
  }
})

t.test('help is no failure, and every command has some', async t => {
  const top = await run(['--help'])
  t.equal(top.code, 0)
  t.match(top.stdout, /Exit status: 0 done/)
  const commands = [
    'kv',
    'status',
    'members',
    'add',
    'remove',
    'transfer',
    'nginx',
    'config',
    'acl',
  ]
  for (const command of [...commands, 'agent', 'dev']) {
    t.match(top.stdout, new RegExp(`^  ${command}\\b`, 'm'))
    const got = await run([command, '--help'])
    t.equal(got.code, 0, command)
    t.match(got.stdout, `Usage: raft-nginx ${command}`)
  }
  t.strictSame(await run(['--version']), { code: 0, stdout: '1.2.3\n', stderr: '' })
})

t.test(
  'kv get: bytes as they are, a line end for a screen, 1 where there is no such key',
  async t => {
    const bytes = Buffer.from([0, 0xff, 0x0a, 0x41])
    const row = {
      Key: 'a b/ü',
      Value: bytes.toString('base64'),
      Flags: 5,
      CreateIndex: 3,
      ModifyIndex: 4,
    }
    const { name, seen } = await speaker(t, ({ line }, answer) => {
      if (line.includes('missing')) answer(404)
      else if (line.includes('empty')) answer(200, JSON.stringify([{ ...row, Value: null }]))
      else answer(200, JSON.stringify([row]))
    })
    const got = await run(['-e', name, '--json', 'kv', 'get', 'a b/ü', '--stale'])
    t.strictSame(JSON.parse(got.stdout), {
      key: 'a b/ü',
      value: null,
      base64: bytes.toString('base64'),
      flags: 5,
      createIndex: 3,
      modifyIndex: 4,
    })
    t.equal(seen[0]?.line, 'GET /v1/kv/a%20b%2F%C3%BC?stale')
    t.equal((await run(['-e', name, 'kv', 'get', 'empty'])).stdout, '')
    t.equal((await run(['-e', name, 'kv', 'get', 'empty'], { terminal: true })).stdout, '\n')
    const missing = await run(['-e', name, 'kv', 'get', 'missing'])
    t.strictSame(missing, {
      code: 1,
      stdout: '',
      stderr: 'raft-nginx: there is no key "missing"\n',
    })
  },
)

t.test('kv put: a word, stdin, nothing; a condition that does not hold', async t => {
  const { name, seen } = await speaker(t, ({ line }, answer) => {
    answer(200, line.includes('cas=9') ? 'false' : 'true', { 'X-Raft-Index': '12' })
  })
  const put = (args: string[], stdin = '') => run(['-e', name, 'kv', 'put', ...args], { stdin })
  t.strictSame(await put(['a', 'word', '--ttl', '30s']), { code: 0, stdout: '', stderr: '' })
  t.equal((await put(['a'], 'from stdin')).code, 0)
  t.equal((await put(['a', '-', '--cas', '0'], 'dash')).code, 0)
  t.equal((await put(['a', ''])).code, 0)
  t.strictSame(
    seen.map(({ line, body }) => [line, body]),
    [
      ['PUT /v1/kv/a?ttl=30s', 'word'],
      ['PUT /v1/kv/a', 'from stdin'],
      ['PUT /v1/kv/a?cas=0', 'dash'],
      ['PUT /v1/kv/a', ''],
    ],
  )
  const unmet = await put(['a', 'x', '--cas', '9'])
  t.equal(unmet.code, 1)
  t.match(unmet.stderr, 'not at that index')
})

t.test('kv list: one a line, or JSON; none is no failure', async t => {
  const { name, seen } = await speaker(t, ({ line }, answer) => {
    if (line.includes('none')) answer(404)
    else answer(200, '["a/b","a/c/"]')
  })
  const listed = await run(['-e', name, 'kv', 'list', 'a/', '--separator', '/'])
  t.strictSame(listed, { code: 0, stdout: 'a/b\na/c/\n', stderr: '' })
  t.equal(seen[0]?.line, 'GET /v1/kv/a%2F?keys&separator=%2F')
  t.equal((await run(['-e', name, '--json', 'kv', 'list'])).stdout, '["a/b","a/c/"]\n')
  t.strictSame(await run(['-e', name, 'kv', 'list', 'none']), { code: 0, stdout: '', stderr: '' })
})

t.test('kv watch: goes on behind the last index where a stream breaks', async t => {
  const streams = [
    'retry: 1000\n\nid: 7\nevent: change\ndata: {"key":"a"}\n\nevent: bookmark\nid: 9\ndata: {}\n\n',
    'id: 11\nevent: change\ndata: {"key":"b"}\n\nevent: dropped\ndata: {"reason":"closing"}\n\n',
  ]
  const { name, seen } = await speaker(t, (_seen, answer) => {
    const next = streams.shift()
    if (next !== undefined) answer(200, next, { 'Content-Type': 'text/event-stream' })
    else controller.abort()
  })
  const controller = new AbortController()
  const got = await run(['-e', name, 'kv', 'watch', 'a/', '--since', '5'], {
    interrupted: controller.signal,
  })
  t.strictSame(got, { code: 0, stdout: '{"key":"a"}\n{"key":"b"}\n', stderr: '' })
  t.strictSame(
    seen.map(({ line }) => line),
    [5, 9, 11].map(since => `GET /v1/watch?prefix=a%2F&since=${since}`),
  )
})

t.test('kv watch: compacted away is a failure, and not tried for ever', async t => {
  const { name } = await speaker(t, (_seen, answer) => {
    answer(410, '{"code":"COMPACTED","detail":"the changes after this index are gone"}')
  })
  const got = await run(['-e', name, 'kv', 'watch', '--since', '5'])
  t.equal(got.code, 1)
  t.match(got.stderr, 'the changes after this index are gone')
})

t.test('kv watch: too slow to keep up with is a failure as well', async t => {
  const { name } = await speaker(t, (_seen, answer) => {
    answer(200, 'event: dropped\ndata: {"reason":"compacted"}\n\n', {
      'Content-Type': 'text/event-stream',
    })
  })
  const got = await run(['-e', name, 'kv', 'watch', '--since', '5'])
  t.strictSame([got.code, got.stdout], [1, ''])
  t.match(got.stderr, 'behind that index are gone')
})

t.test('events come out whole, however the text is cut', async t => {
  const text =
    ': hello\n\nid: 1\nevent: set\ndata: one\ndata: two\n\r\nid:2\r\ndata:three\r\n\r\ndata: rest'
  const expected = [
    { event: 'set', id: '1', data: 'one\ntwo' },
    { event: 'message', id: '2', data: 'three' },
  ]
  for (let cut = 1; cut < text.length; cut++) {
    const reader = new EventReader()
    const events = [...reader.push(text.slice(0, cut)), ...reader.push(text.slice(cut))]
    t.strictSame(events, expected, `cut at ${cut}`)
  }
})

t.test('members, add, remove, transfer: what is sent, and what is shown', async t => {
  const members = [
    { id: 'n1', role: 'voter', address: 'h:1', raftBind: 'h:2', gateway: 'http://g' },
    { id: 'n2', role: 'learner', address: '', raftBind: 'h:4', gateway: null },
  ]
  const { name, seen } = await speaker(t, ({ line }, answer) => {
    answer(200, JSON.stringify(line.endsWith('leader') ? { leader: 'n2' } : { members }))
  })
  const ask = (...args: string[]) => run(['-e', name, ...args])
  const shown = await ask('members')
  t.match(
    shown.stdout,
    /^node +role +http +raft +gateway\nn1 +voter +h:1 +h:2 +http:\/\/g\nn2 +learner +- /,
  )
  t.strictSame(JSON.parse((await ask('--json', 'members')).stdout), { members })
  t.equal((await ask('add', 'n2', 'h:4')).code, 0)
  t.equal((await ask('add', 'n3', 'h:6', '--edge')).code, 0)
  t.equal((await ask('remove', 'n2')).code, 0)
  t.equal((await ask('transfer', 'n2')).stdout, 'n2 leads\n')
  t.equal((await ask('transfer')).code, 0)
  t.strictSame(
    seen.slice(2).map(({ line, body }) => [line, body]),
    [
      ['POST /v1/cluster/members', '{"id":"n2","addr":"h:4"}'],
      ['POST /v1/cluster/members', '{"id":"n3","addr":"h:6","voter":false}'],
      ['DELETE /v1/cluster/members/n2', ''],
      ['POST /v1/cluster/leader', '{"id":"n2"}'],
      ['POST /v1/cluster/leader', '{}'],
    ],
  )
})

t.test('config check: fine, or every fault; config schema names every setting', async t => {
  const file = join(t.testdir(), 'agent.json')
  writeFileSync(
    file,
    JSON.stringify({ nodes: [{ id: 'a', address: 'h:1', raft_bind: '127.0.0.1:2' }] }),
  )
  const fine = await run(['config', 'check', file])
  t.equal(fine.code, 0)
  t.match(fine.stdout, `${file} is fine: a of 1 nodes`)
  const env = { RAFT_NGINX_ENDPOINT: 'h:1', RAFT_NGINX_CLUSTER_NAME: 'other' }
  const shown = await run(['--json', 'config', 'check', file], { env })
  t.match(JSON.parse(shown.stdout), { clusterName: 'other', nodeId: 'a' })
  writeFileSync(file, JSON.stringify({ nodes: [], nodez: 1, election_timeout_ms: 'x' }))
  const faulty = await run(['config', 'check', file])
  t.equal(faulty.code, 1)
  for (const word of ['nodes', 'nodez', 'election_timeout_ms']) t.match(faulty.stderr, word)
  const schema = JSON.parse((await run(['config', 'schema'])).stdout)
  t.ok(schema.properties.heartbeat_interval_ms.description)
})
