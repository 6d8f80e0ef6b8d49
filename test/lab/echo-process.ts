/**
 * What a unit serves at addresses that move: it gives each datagram back. It is bound to them also
 * while the unit does not hold them (ip_nonlocal_bind). Arguments: the port, and the addresses.
 */
import { readAddress } from '../../appliance/config/address-codec.js';
import {
  AF_INET,
  AF_INET6,
  bind,
  receive,
  sendTo,
  SOCK_DGRAM,
  socket,
  SystemError,
} from '../../native/ffi/libc.js';
import { Poller } from '../../native/ffi/poller.js';
import { runInRealTime } from '../../native/ffi/realtime.js';
import { sockaddr, sockaddrBytes } from '../../native/ffi/socket-address.js';

/** Above those that decide where the address is: what is measured is that, not what serves. */
const PRIORITY = 55;

// What else this machine does shall not show in the figures.
runInRealTime(PRIORITY);
const [port = '', ...addresses] = process.argv.slice(2);
const poller = new Poller();
poller.ref();
const datagram = Buffer.alloc(2048);

function giveBack(fd: number, from: Uint8Array): void {
  for (;;) {
    try {
      const length = receive(fd, datagram, from);
      if (length === null) return;
      sendTo(fd, datagram.subarray(0, length), from);
    } catch (error) {
      // A client that cannot be reached from here now asks again.
      if (!(error instanceof SystemError) || error.code === 'EBADF') throw error;
    }
  }
}

for (const text of addresses) {
  const bytes = readAddress(text)?.bytes;
  if (bytes === undefined) throw new Error(`${text} is no address`);
  const family = bytes.length === 4 ? 4 : 6;
  const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  bind(fd, sockaddr(family, bytes, Number(port)));
  const from = Buffer.alloc(sockaddrBytes[family]);
  poller.add(fd, () => giveBack(fd, from));
}
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
