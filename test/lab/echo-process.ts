/**
 * What a unit serves at addresses that move: it gives each datagram back. It is bound to them also
 * while the unit does not hold them (ip_nonlocal_bind). Arguments: the port, and the addresses.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { runInRealTime } from '../../native/ffi/realtime.js';

/** Above those that decide where the address is: what is measured is that, not what serves. */
const PRIORITY = 55;

// What else this machine does shall not show in the figures.
runInRealTime(PRIORITY);
const [port = '', ...addresses] = process.argv.slice(2);
let bound = 0;
for (const address of addresses) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (question, from) => {
    socket.send(question, from.port, from.address, () => undefined);
  });
  // A client that cannot be reached from here now asks again.
  socket.on('error', () => undefined);
  socket.bind(Number(port), address, () => {
    bound += 1;
    if (bound === addresses.length) process.send?.('ready');
  });
}
process.on('disconnect', () => process.exit(0));
