/** A read was refused: what this node's machine would answer is not to be relied on. Why, in words for the client. */
export class NotServing extends Error {
  override readonly name = 'NotServing'
}
