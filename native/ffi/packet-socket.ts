/**
 * Sends frames by an interface as they are: packet(7). Receives nothing.
 */
import { close, sendTo, socket, SOCK_RAW, widenSendBuffer } from './libc.js';

const AF_PACKET = 17;
/** struct sockaddr_ll. */
const ADDRESS_BYTES = 20;

/** A frame counts until the card has sent it: room for thousands that leave at once. */
const ROOM = 8 << 20;

/** For many frames. */
export class FrameSender {
  // Protocol 0: nothing that comes in is kept for this socket.
  readonly #fd = socket(AF_PACKET, SOCK_RAW, 0);

  constructor() {
    widenSendBuffer(this.#fd, ROOM);
  }

  /** `frame` begins with its Ethernet header. Throws SystemError. */
  send(interfaceIndex: number, frame: Uint8Array): void {
    const to = Buffer.alloc(ADDRESS_BYTES);
    to.writeUInt16LE(AF_PACKET, 0);
    to.set(frame.subarray(12, 14), 2);
    to.writeInt32LE(interfaceIndex, 4);
    to.writeUInt8(6, 11);
    to.set(frame.subarray(0, 6), 12);
    sendTo(this.#fd, frame, to);
  }

  close(): void {
    close(this.#fd);
  }
}

/** One frame. Throws SystemError. */
export function sendFrame(interfaceIndex: number, frame: Uint8Array): void {
  const sender = new FrameSender();
  try {
    sender.send(interfaceIndex, frame);
  } finally {
    sender.close();
  }
}
