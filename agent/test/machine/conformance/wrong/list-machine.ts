/** A list of words, right in itself; each file beside it does one thing wrong. */

import type {
  CommandContext,
  MemoryMachine,
} from '../../../../src/machine/plug-in/memory-machine.ts'

export interface Words {
  list: string[]
}

type Change = (words: Words, word: string, context: CommandContext) => string[]

export const samples = ['one', 'two', 'three', ''].map(word => Buffer.from(word))

export function listMachine(change: Change, own: Partial<MemoryMachine> = {}): MemoryMachine {
  const words: Words = { list: [] }
  return {
    name: 'words',
    apply(command, context) {
      const word = Buffer.from(command).toString()
      words.list = change(words, word, context)
      return Buffer.from(`${words.list.length}`)
    },
    query: () => Buffer.from(words.list.join()),
    snapshot: () => Buffer.from(JSON.stringify(words.list)),
    restore(state) {
      words.list = JSON.parse(Buffer.from(state).toString()) as string[]
    },
    ...own,
  }
}

export function appended({ list }: Words, word: string, { reject }: CommandContext): string[] {
  return word === '' ? reject('EMPTY') : [...list, word]
}
