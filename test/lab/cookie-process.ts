/**
 * What cookie.test.ts runs in the client's namespace: connections that check every byte that comes
 * back, connections that are held and talk steadily, and a bounded flood of forged SYNs.
 *
 *     talk ADDRESS PORT CONNECTIONS BYTES     hold ADDRESS PORT CONNECTIONS SECONDS
 *     flood ADDRESS PORT PER-SECOND SECONDS
 *
 * Invariant: it ends by itself, prints one line of JSON, and floods only the address it is given,
 * from sources of RFC 2544 that no host has.
 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { AF_INET, SOCK_RAW, close, sendTo, socket } from '../../native/ffi/libc.js';
import { addressBytes, frame } from '../bpf/packets.js';

const IPPROTO_RAW = 255;
const ETHERNET_BYTES = 14;
const LINE = 997;
const CONCURRENCY = 64;
const TURN_MS = 5;
const PATIENCE_MS = 20_000;

/** Sends lines and reads `NAME LINE` for each; resolves with what was wrong, or null. */
function exchange(address: string, port: number, bytes: number): Promise<string | null> {
  return new Promise((resolve) => {
    const lines = Array.from({ length: Math.ceil(bytes / LINE) }, (_, index) =>
      `${index} ${Math.random()} `.padEnd(LINE, String(index % 10)),
    );
    const stream = connect({ host: address, port });
    let seen = '';
    const done = (problem: string | null): void => {
      clearTimeout(timer);
      stream.destroy();
      resolve(problem);
    };
    const timer = setTimeout(() => {
      done(`timeout after ${seen.length} bytes`);
    }, PATIENCE_MS);
    stream.setEncoding('utf8');
    stream.once('connect', () => stream.end(`${lines.join('\n')}\n`));
    stream.on('data', (text: string) => (seen += text));
    stream.once('error', (error: NodeJS.ErrnoException) => {
      done(error.code ?? error.message);
    });
    stream.once('end', () => {
      const answers = seen.split('\n').slice(0, -1);
      const same =
        answers.length === lines.length &&
        answers.every((answer, index) => answer.replace(/^member-\d /, '') === lines[index]);
      done(same ? null : `${answers.length} of ${lines.length} lines, or other ones`);
    });
  });
}

async function talk(address: string, port: number, connections: number, bytes: number) {
  const problems: string[] = [];
  let left = connections;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const problem = await exchange(address, port, bytes);
      if (problem !== null) problems.push(problem);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return { connections, failed: problems.length, problems: [...new Set(problems)].slice(0, 5) };
}

async function hold(address: string, port: number, connections: number, seconds: number) {
  const streams: Socket[] = [];
  for (let index = 0; index < connections; index++) {
    const stream = connect({ host: address, port, noDelay: true });
    await once(stream, 'connect');
    streams.push(stream);
  }
  let sent = 0;
  let answered = 0;
  let broken = 0;
  const until = Date.now() + seconds * 1000;
  for (const stream of streams) {
    stream.on('data', () => {
      answered++;
      if (Date.now() < until) setTimeout(() => say(), TURN_MS);
    });
    stream.once('error', () => broken++);
    const say = (): void => {
      sent++;
      stream.write('ping\n');
    };
    say();
  }
  console.log('held');
  await pause(seconds * 1000 + 1000);
  for (const stream of streams) stream.destroy();
  return { sent, answered, broken };
}

async function flood(address: string, port: number, rate: number, seconds: number) {
  const fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  const to = Buffer.alloc(16);
  to.writeUInt16LE(AF_INET, 0);
  to.set(addressBytes(address), 4);
  // Frames are made before: making them would be slower than sending.
  const packets = Array.from({ length: 4096 }, (_, index) =>
    frame({
      ...{ source: `198.18.${index >> 8}.${index & 0xff}`, destination: address },
      ...{ protocol: 'tcp', sourcePort: 1024 + index * 13, destinationPort: port },
      ...{ flags: 'S', sequence: index * 65_537, acknowledge: 0, payload: new Uint8Array(0) },
    }).subarray(ETHERNET_BYTES),
  );
  let sent = 0;
  const begun = Date.now();
  try {
    while (Date.now() - begun < seconds * 1000) {
      const due = Math.floor(((Date.now() - begun) * rate) / 1000);
      for (; sent < due; sent++) {
        const packet = packets[sent % packets.length];
        if (packet === undefined) continue;
        nextPort(packet);
        sendTo(fd, packet, to);
      }
      await pause(TURN_MS);
    }
  } finally {
    close(fd);
  }
  return { sent };
}

/** Another flow each time that a packet is sent: the next source port, and its checksum (RFC 1624). */
function nextPort(packet: Buffer): void {
  const port = packet.readUInt16BE(20);
  if (port === 0xffff) return;
  packet.writeUInt16BE(port + 1, 20);
  const sum = (~packet.readUInt16BE(36) & 0xffff) + 1;
  packet.writeUInt16BE(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 36);
}

const [mode, address = '', ...numbers] = process.argv.slice(2);
const [port = 0, many = 0, span = 0] = numbers.map(Number);
const modes = { talk, hold, flood };
const run = modes[mode as keyof typeof modes];
console.log(JSON.stringify(await run(address, port, many, span)));
process.exit(0);
