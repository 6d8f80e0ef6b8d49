/** Members that want a PROXY header, and TLS after it. */
import { once } from 'node:events';
import { connect as tcpConnect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as tlsConnect, TLSSocket } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { L7Pool, L7Service } from '../../../../appliance/l7/tables.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { packed, TestAuthority } from '../../../support/tls-material.js';
import { memberTls, tls } from '../../../support/tls-workers.js';
import { withTier } from '../../../support/worker-stage.js';

const test = suite('PROXY headers before TLS');
const uring = needs.uring(test);
let authority: TestAuthority;

test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** Octets of a header at the front of what came; 0: not whole yet. */
function headerEnd(bytes: Buffer): number {
  if (!bytes.subarray(0, 12).equals(SIGNATURE)) return bytes.indexOf('\r\n') + 2;
  return bytes.length < 16 ? 0 : 16 + bytes.readUInt16BE(14);
}

/** What the header says: `FAMILY SOURCE:PORT`. */
function told(header: Buffer): string {
  if (header.subarray(0, 12).equals(SIGNATURE)) {
    return `v2 ${[...header.subarray(16, 20)].join('.')}:${header.readUInt16BE(24)}`;
  }
  const [, , source = '', , port = ''] = header.toString('latin1').trim().split(' ');
  return `v1 ${source}:${port}`;
}

/** A member that reads the header in the clear, does TLS, and answers with what it was told. */
async function withMember(work: (port: number, headers: string[]) => Promise<void>): Promise<void> {
  const { certificate: cert, key } = authority.issue(['member.example']);
  const headers: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    let bytes = Buffer.alloc(0);
    const read = (piece: Buffer): void => {
      bytes = Buffer.concat([bytes, piece]);
      const end = headerEnd(bytes);
      if (end < 2 || bytes.length < end) return;
      socket.off('data', read);
      socket.pause();
      const header = told(bytes.subarray(0, end));
      headers.push(header);
      if (bytes.length > end) socket.unshift(bytes.subarray(end));
      const secure = new TLSSocket(socket, { isServer: true, cert, key });
      secure.on('error', () => secure.destroy());
      secure.on('data', () => {
        secure.write(`HTTP/1.1 200 OK\r\nContent-Length: ${header.length}\r\n\r\n${header}`);
      });
    };
    socket.on('data', read);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await work((server.address() as AddressInfo).port, headers);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

/** Asks once, and tells the answer's body with the port that it asked from. */
async function ask(port: number, secure: boolean): Promise<readonly [body: string, from: number]> {
  const plain = tcpConnect({ port, host: '127.0.0.1' });
  await once(plain, 'connect');
  const from = plain.localPort ?? 0;
  const socket = secure
    ? tlsConnect({ socket: plain, servername: 'shop.example', rejectUnauthorized: false })
    : plain;
  socket.setEncoding('latin1');
  socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n');
  let text = '';
  while (!/\r\n\r\nv[12] .+:\d+$/.test(text))
    text += String(((await once(socket, 'data')) as [string])[0]);
  socket.destroy();
  return [text.slice(text.indexOf('\r\n\r\n') + 4), from];
}

const fronts: Readonly<Record<string, Partial<L7Service>>> = {
  http: { protocol: 'http' },
  https: { protocol: 'http', tls },
  tcp: { protocol: 'tcp' },
  tls: { protocol: 'tcp', tls: { ...tls, alpn: [] } },
};

for (const [name, front] of Object.entries(fronts)) {
  uring(`${name}: the header comes first and in the clear, for each client its own`, async () => {
    await withMember((member, headers) =>
      withTier(async ({ tier, port }) => {
        tier.setSecrets(
          packed([authority.secret('shop', ['shop.example']), authority.trusted('ca')]),
        );
        for (const proxyProtocol of ['v1', 'v2'] as const satisfies L7Pool['proxyProtocol'][]) {
          const pool = poolWith([member], { tls: memberTls, proxyProtocol });
          await tier.execute(tablesOf([serviceAt(port, front)], [pool], 1));
          for (let count = 0; count < 2; count += 1) {
            const [body, from] = await ask(port, front.tls !== undefined);
            assert.is(body, `${proxyProtocol} 127.0.0.1:${from}`);
          }
        }
        assert.is(headers.length, 4, 'no connection to the member served two clients');
      }),
    );
  });
}

test.run();
