import t from 'tap'
import { crc32c } from '../../src/lib/crc32c.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

t.test('RFC 3720 B.4 gives the known checksums', async t => {
  t.equal(crc32c(new Uint8Array(32)), 0x8a9136aa)
  t.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  t.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  t.equal(crc32c(bytes('123456789')), 0xe3069283)
})

t.test('a range gives what its copy gives, at every length and offset', async t => {
  const all = Uint8Array.from({ length: 40 }, (_, i) => (i * 37) & 0xff)
  for (let start = 0; start < 10; start++) {
    for (let end = start; end <= all.length; end++) {
      t.equal(crc32c(all, start, end), crc32c(all.slice(start, end)))
    }
  }
})
