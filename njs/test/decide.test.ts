import t from 'tap'

t.test('x', async () => {})
