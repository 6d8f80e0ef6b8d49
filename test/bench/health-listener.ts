/**
 * The members of the health benchmark: one process that accepts every connection to one port of
 * every address it has. Says its port to the parent, and ends with it.
 */
import { createServer } from 'node:net';

const server = createServer((socket) => {
  // Probes end with a reset, which is an error to node.
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.destroy());
  socket.resume();
});
server.listen({ port: 0, host: '0.0.0.0', backlog: 4096 }, () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  process.send?.(address.port);
});
process.on('disconnect', () => process.exit(0));
