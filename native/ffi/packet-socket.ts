/**
 * Sends frames by an interface as they are: packet(7). Receives nothing.
 */
import { close, sendTo, socket, SOCK_RAW } from './libc.js';

const AF_PACKET = 17;
/** struct sockaddr_ll. */
const ADDRESS_BYTES = 20;

/** `frame` begins with its Ethernet header. Throws SystemError. */
export function sendFrame(interfaceIndex: number, frame: Uint8Array): void {
  const to = Buffer.alloc(ADDRESS_BYTES);
  to.writeUInt16LE(AF_PACKET, 0);
  to.set(frame.subarray(12, 14), 2);
  to.writeInt32LE(interfaceIndex, 4);
  to.writeUInt8(6, 11);
  to.set(frame.subarray(0, 6), 12);
  // Protocol 0: nothing that comes in is kept for this socket.
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  try {
    sendTo(fd, frame, to);
  } finally {
    close(fd);
  }
}
