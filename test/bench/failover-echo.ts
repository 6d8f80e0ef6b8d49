/**
 * What a unit of the failover benchmark serves at the address that moves: it gives each datagram
 * back. It is bound to the address also while the unit does not hold it (ip_nonlocal_bind).
 */
import { createSocket } from 'node:dgram';

const [address = '', port = ''] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (question, from) => {
  socket.send(question, from.port, from.address, () => undefined);
});
// A client that cannot be reached from here now asks again.
socket.on('error', () => undefined);
socket.bind(Number(port), address, () => process.send?.('ready'));
process.on('disconnect', () => process.exit(0));
