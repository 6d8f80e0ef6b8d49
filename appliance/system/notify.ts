/** Tells systemd of this process, as sd_notify(3): one datagram to the socket that it names. */
import { DatagramSocket } from '../../native/ffi/datagram-socket.js';

const SOCKET = 'NOTIFY_SOCKET';

/**
 * Says lines such as `READY=1`. Without somebody who wants to know, nothing is done. Throws SystemError
 * when it cannot be said, and RangeError for an abstract socket, which systemd does not use.
 */
export function notify(...lines: readonly string[]): void {
  const path = process.env[SOCKET];
  if (path === undefined) return;
  const socket = new DatagramSocket({ path });
  try {
    if (!socket.send(Buffer.from(lines.join('\n'))))
      throw new Error(`nobody reads what comes to ${path}`);
  } finally {
    socket.close();
  }
}
