/** TLS that ends in front of any protocol: where a connection goes, and when a member hears of it. */
import { once } from 'node:events';
import { connect as tcpConnect, createServer, type AddressInfo } from 'node:net';
import { connect as tlsConnect, type ConnectionOptions } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { L7Conditions, L7Service } from '../../../../appliance/l7/tables.js';
import { poolWith, routeTo, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { packed, TestAuthority } from '../../../support/tls-material.js';
import { tls } from '../../../support/tls-workers.js';
import { type Stage, withTier } from '../../../support/worker-stage.js';

const test = suite('TLS in front of any protocol');
const uring = needs.uring(test);
let authority: TestAuthority;

test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

const hosts = (...names: string[]): L7Conditions => ({ ...unconditional, hosts: names });
const unconditional: L7Conditions = {
  ...{ hosts: null, paths: null, methods: null, headers: [], query: [], cookies: [] },
  sources: null,
};

interface Members {
  readonly ports: readonly number[];
  /** Connections that each has had. */
  readonly seen: number[];
}

/** Members that say their name first, as a mail server would. */
async function withMembers(work: (stage: Stage, members: Members) => Promise<void>): Promise<void> {
  const seen = [0, 0];
  const servers = seen.map((_, index) =>
    createServer((socket) => {
      seen[index] = (seen[index] ?? 0) + 1;
      socket.on('error', () => socket.destroy());
      socket.end(`member ${index}\n`);
    }),
  );
  try {
    const ports: number[] = [];
    for (const server of servers) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      ports.push((server.address() as AddressInfo).port);
    }
    await withTier((stage) => work(stage, { ports, seen }));
  } finally {
    for (const server of servers) server.close();
  }
}

async function serve(stage: Stage, { ports }: Members, facts: Partial<L7Service>): Promise<void> {
  const [mail = 0, other = 0] = ports;
  stage.tier.setSecrets(packed([authority.secret('shop', ['*.shop.example'])]));
  const pools = [poolWith([mail], { name: 'mail' }), poolWith([other], { name: 'other' })];
  const service = serviceAt(stage.port, {
    ...{ protocol: 'tcp', tls: { ...tls, alpn: [] }, ...facts },
  });
  await stage.tier.execute(tablesOf([service], pools, 1));
}

/** What the service said, or why it did not. */
async function ask(port: number, options: ConnectionOptions, first = ''): Promise<string> {
  const plain = tcpConnect({ port, host: '127.0.0.1' });
  if (first !== '') plain.write(first);
  const socket = tlsConnect({ socket: plain, rejectUnauthorized: false, ...options });
  socket.setEncoding('latin1');
  let text = '';
  try {
    for await (const piece of socket) text += String(piece);
  } catch (error) {
    return `${text}${String((error as { code?: string }).code)}`;
  } finally {
    socket.destroy();
  }
  return text;
}

uring('the name that a client asks for finds the route, in every version and resumed', async () => {
  await withMembers(async (stage, members) => {
    const routes = [
      routeTo('mail', { when: hosts('mail.shop.example') }),
      routeTo('other', { when: hosts('*.shop.example') }),
    ];
    for (const proxyProtocol of ['off', 'accept'] as const) {
      await serve(stage, members, { routes, proxyProtocol });
      const first = proxyProtocol === 'off' ? '' : 'PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n';
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const { port } = stage;
        const of = (servername: string): Promise<string> =>
          ask(port, { servername, maxVersion }, first);
        assert.is(await of('mail.shop.example'), 'member 0\n', maxVersion);
        assert.is(await of('MAIL.shop.example'), 'member 0\n', maxVersion);
        assert.is(await of('web.shop.example'), 'member 1\n', maxVersion);
        assert.match(await of('elsewhere.example'), /^ECONN/, `no route, ${maxVersion}`);
        assert.match(await ask(port, { maxVersion }, first), /^ECONN/, `no name, ${maxVersion}`);
      }
    }
  });
});

uring('no member hears of a client whose handshake is not over', async () => {
  await withMembers(async (stage, members) => {
    await serve(stage, members, { routes: [routeTo('mail')] });
    const { port } = stage;
    const strangers = Array.from({ length: 20 }, (_, index) => {
      const socket = tcpConnect({ port, host: '127.0.0.1' });
      socket.on('error', () => socket.destroy());
      // Some say nothing, some begin, and some speak something else.
      if (index % 3 === 1) socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
      if (index % 3 === 2) socket.write('GET / HTTP/1.0\r\n\r\n');
      return socket;
    });
    await Promise.all(strangers.map((socket) => once(socket, 'connect')));
    assert.is(await ask(port, { servername: 'a.shop.example' }), 'member 0\n');
    assert.equal(members.seen, [1, 0]);
    for (const socket of strangers) socket.destroy();
  });
});

test.run();
