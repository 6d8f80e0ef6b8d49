/**
 * Clients of a port in the network namespace that this process runs in, `waiting-process.js PORT COUNT`:
 * so many requests at once, each on a connection of its own. It says `sent` when all are connected,
 * and at the end what came of them, as JSON.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

const [port = '0', count = '1'] = process.argv.slice(2);
const clients = Array.from({ length: Number(count) }, async () => {
  const socket = connect(Number(port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
  return socket;
});
const sockets = await Promise.all(clients);
process.stdout.write('sent\n');
const answers = await Promise.all(
  sockets.map(async (socket) => {
    let text = '';
    try {
      for await (const piece of socket) text += String(piece);
    } catch (error) {
      return String(error);
    }
    return text.split('\r\n')[0] ?? '';
  }),
);
process.stdout.write(`${JSON.stringify(answers)}\n`);
