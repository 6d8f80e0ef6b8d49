/**
 * A way to a server of TLS on which a client's second flight is held back: what comes before it arrives
 * (hello and early data), and the handshake is over when the test lets it.
 *
 * Invariant: of a client without early data nothing is held back.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

const HEADER = 5;
const APPLICATION_DATA = 23;
/** EndOfEarlyData (RFC 8446 §4.5) in its record: four octets, the type, and the tag. */
const END_OF_EARLY_DATA = 4 + 1 + 16;

export interface Withheld {
  readonly port: number;
  /** What a client had said when it came to its second flight, which waits; no matter which client. */
  readonly first: Promise<Buffer>;
  /** Lets pass what waits, and all that follows. */
  release(): void;
  close(): void;
}

/** Where the second flight begins in these whole records; -1: it has not come. */
function secondFlight(bytes: Buffer): number {
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at] === APPLICATION_DATA && length === END_OF_EARLY_DATA) return at;
    at += HEADER + length;
  }
  return -1;
}

/** `before`: said to the server first, such as a PROXY header. */
export async function withhold(port: number, before = ''): Promise<Withheld> {
  const sockets: Socket[] = [];
  const waiting: (() => void)[] = [];
  let open = false;
  let tell: (first: Buffer) => void = () => undefined;
  const first = new Promise<Buffer>((resolve) => (tell = resolve));
  const server = createServer({ noDelay: true }, (client) => {
    const onward = connect({ port, host: '127.0.0.1', noDelay: true });
    sockets.push(client, onward);
    onward.write(before);
    let said = Buffer.alloc(0);
    let passed = 0;
    const pass = (end: number): void => {
      if (end > passed && onward.writable) onward.write(said.subarray(passed, end));
      passed = Math.max(passed, end);
    };
    client.on('data', (data: Buffer) => {
      said = Buffer.concat([said, data]);
      const at = open ? -1 : secondFlight(said);
      if (at < 0) {
        pass(said.length);
        return;
      }
      pass(at);
      tell(said.subarray(0, at));
    });
    waiting.push(() => {
      pass(said.length);
    });
    client.on('end', () => onward.end());
    client.on('error', () => onward.destroy());
    onward.on('error', () => client.destroy());
    onward.pipe(client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    first,
    release() {
      open = true;
      for (const go of waiting) go();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
