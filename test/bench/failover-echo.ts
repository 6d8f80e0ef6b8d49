/**
 * What a unit of the failover benchmark serves at the address that moves: it gives each datagram
 * back. It is bound to the address also while the unit does not hold it (ip_nonlocal_bind).
 */
import { createSocket } from 'node:dgram';
import { runInRealTime } from '../../native/ffi/realtime.js';

/** Above those that decide where the address is: what is measured is that, not what serves. */
const PRIORITY = 55;

// What else this machine does shall not show in the figures.
runInRealTime(PRIORITY);
const [address = '', port = ''] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (question, from) => {
  socket.send(question, from.port, from.address, () => undefined);
});
// A client that cannot be reached from here now asks again.
socket.on('error', () => undefined);
socket.bind(Number(port), address, () => process.send?.('ready'));
process.on('disconnect', () => process.exit(0));
