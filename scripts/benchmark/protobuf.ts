/** As much of protobuf and gRPC's framing as etcd's requests need. */

export const GRPC_HEADER_BYTES = 5

/** A field of protobuf's wire type 2. */
export function protobufBytes(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(bytes.length)]), bytes])
}

/** gRPC's frame: not compressed, length, message. */
export function grpcMessage(message: Buffer): Buffer {
  const framed = Buffer.alloc(GRPC_HEADER_BYTES + message.length)
  framed.writeUInt32BE(message.length, 1)
  message.copy(framed, GRPC_HEADER_BYTES)
  return framed
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
  return bytes
}
