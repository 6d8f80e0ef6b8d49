/**
 * The udp and dns probes against real sockets. The answers are put together by hand from RFC 1035,
 * not with the library that reads them.
 */
import { createSocket, type Socket } from 'node:dgram';
import { createServer, type AddressInfo } from 'node:net';
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import {
  encodeQuestion,
  judgeAnswer,
  probeDns,
  type DnsSettings,
} from '../../../appliance/health/dns.js';
import type { ProbeResult } from '../../../appliance/health/state-machine.js';
import { probeUdp, type UdpSettings } from '../../../appliance/health/udp.js';

type Reply = (message: Buffer, answer: (bytes: Uint8Array) => void) => void;

/** Runs `work` with a UDP server on a loopback address; it is gone afterwards. */
async function withServer(
  reply: Reply,
  work: (port: number, sources: string[]) => Promise<void>,
  address = '127.0.0.1',
): Promise<void> {
  const socket: Socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const sources: string[] = [];
  socket.on('message', (message, from) => {
    sources.push(from.address);
    reply(message, (bytes) => socket.send(bytes, from.port, from.address));
  });
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  try {
    await work(socket.address().port, sources);
  } finally {
    await new Promise<void>((resolve) => socket.close(resolve));
  }
}

const said = ({ outcome, reason }: ProbeResult): string => `${outcome}: ${reason}`;
const udp = (
  port: number,
  more: Partial<UdpSettings> = {},
  address = '127.0.0.1',
): Promise<ProbeResult> =>
  probeUdp({ address, port }, { timeout: 5000, ...more }, new Cancellation());

async function closedPort(): Promise<number> {
  let found = 0;
  await withServer(
    () => undefined,
    async (port) => {
      found = port;
    },
  );
  return found;
}

test('udp: any answer ends the wait', () =>
  withServer(
    (_, answer) => answer(Buffer.from('x')),
    async (port) => {
      const result = await udp(port);
      assert.is(said(result), 'pass: answered');
      assert.type(result.latencyMs, 'number');
    },
  ));

test('udp: silence is no bad sign where no answer is asked for, and no response time', () =>
  withServer(
    () => undefined,
    async (port) => {
      const result = await udp(port, { timeout: 100 });
      assert.is(said(result), 'pass: no error within 100ms');
      assert.is(result.latencyMs, undefined);
    },
  ));

test('udp: a closed port is told by ICMP, over both families', async () => {
  const port = await closedPort();
  assert.is(said(await udp(port)), 'fail: port unreachable');
  assert.is(said(await udp(port, { receive: 'x' }, '::1')), 'fail: port unreachable');
});

test('udp: what is sent, and the text that is asked for', () =>
  withServer(
    (message, answer) => answer(Buffer.concat([Buffer.from('you said '), message])),
    async (port) => {
      assert.is(said(await udp(port, { send: 'PING', receive: 'PING' })), 'pass: expected answer');
      assert.is(
        said(await udp(port, { send: 'PING', receive: 'PONG' })),
        'fail: the answer lacks the expected text',
      );
      assert.is(said(await udp(port, { receive: 'you said ' })), 'pass: expected answer');
    },
  ));

test('udp: no answer where one is asked for', () =>
  withServer(
    () => undefined,
    async (port) =>
      assert.is(
        said(await udp(port, { timeout: 100, receive: 'PONG' })),
        'fail: no answer within 100ms',
      ),
  ));

test('udp: an answer from elsewhere does not count', () =>
  withServer(
    () => undefined,
    async (port) => {
      const other = createSocket('udp4');
      try {
        await new Promise<void>((resolve) => other.bind(0, '127.0.0.1', resolve));
        const probe = udp(port, { timeout: 200, receive: 'PONG' });
        // The probe's port is one of few: all that an attacker on this host could do is try.
        for (let round = 0; round < 50; round += 1) other.send('PONG', 40_000 + round, '127.0.0.1');
        assert.is(said(await probe), 'fail: no answer within 200ms');
      } finally {
        await new Promise<void>((resolve) => other.close(resolve));
      }
    },
  ));

test('udp: the source address is what the member sees; a foreign one is a reason', () =>
  withServer(
    (_, answer) => answer(Buffer.from('x')),
    async (port, sources) => {
      assert.is(said(await udp(port, { source: '127.0.0.77' })), 'pass: answered');
      assert.equal(sources, ['127.0.0.77']);
      assert.is(
        said(await udp(port, { source: '192.0.2.7' })),
        'inconclusive: cannot probe from 192.0.2.7: this unit has no such address',
      );
      assert.is(
        said(await udp(port, { source: '::1' })),
        'inconclusive: cannot probe from ::1: it is of another address family than the member',
      );
    },
  ));

test('udp: a cancelled probe says nothing, whatever it was doing', () =>
  withServer(
    () => undefined,
    async (port) => {
      for (const source of [undefined, '127.0.0.1']) {
        const cancellation = new Cancellation();
        const probe = probeUdp(
          { address: '127.0.0.1', port },
          { timeout: 60_000, source },
          cancellation,
        );
        cancellation.cancel();
        assert.is((await probe).outcome, 'inconclusive');
      }
    },
  ));

// ---- DNS ----

const NAME = 'www.shop.example';
const RESPONSE = 0x8180;
const TYPE_A = 1;
const TYPE_AAAA = 28;

/** RFC 1035 §4.1: header, the question as it came, and resource records whose name points to it. */
function response(
  query: Buffer,
  options: {
    readonly flags?: number;
    readonly id?: number;
    readonly records?: readonly (readonly [type: number, data: readonly number[]])[];
  } = {},
): Buffer {
  const records = options.records ?? [];
  const header = Buffer.alloc(12);
  header.writeUInt16BE(options.id ?? query.readUInt16BE(0), 0);
  header.writeUInt16BE(options.flags ?? RESPONSE, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  const body = records.map(([type, data]) =>
    Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length, ...data]),
  );
  return Buffer.concat([header, query.subarray(12), ...body]);
}

const dns = (
  port: number,
  more: Partial<DnsSettings> = {},
  address = '127.0.0.1',
): Promise<ProbeResult> =>
  probeDns(
    { address, port },
    { timeout: 5000, name: NAME, record: 'A', transport: 'udp', ...more },
    new Cancellation(),
  );

const one = [[TYPE_A, [10, 0, 0, 1]]] as const;

const answers: readonly (readonly [
  what: string,
  reply: (query: Buffer) => Buffer,
  more: Partial<DnsSettings>,
  verdict: string,
])[] = [
  ['an address', (q) => response(q, { records: one }), {}, 'pass: answered, 1 record'],
  ['no record of that type', (q) => response(q), {}, 'pass: answered, 0 records'],
  [
    'the address that is asked for, second of two',
    (q) => response(q, { records: [...one, [TYPE_A, [10, 0, 0, 2]]] }),
    { answer: '10.0.0.2' },
    'pass: answered with 10.0.0.2',
  ],
  [
    'another address',
    (q) => response(q, { records: one }),
    { answer: '10.0.0.2' },
    'fail: answered, but not with 10.0.0.2',
  ],
  [
    'an IPv6 address, however it is written',
    (q) =>
      response(q, {
        records: [[TYPE_AAAA, [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a]]],
      }),
    { record: 'AAAA', answer: 'fd00::1a' },
    'pass: answered with fd00::1a',
  ],
  ['NXDOMAIN', (q) => response(q, { flags: RESPONSE | 3 }), {}, 'fail: answered with NXDOMAIN'],
  ['SERVFAIL', (q) => response(q, { flags: RESPONSE | 2 }), {}, 'fail: answered with SERVFAIL'],
  ['REFUSED', (q) => response(q, { flags: RESPONSE | 5 }), {}, 'fail: answered with REFUSED'],
  [
    'an unknown code',
    (q) => response(q, { flags: RESPONSE | 11 }),
    {},
    'fail: answered with error 11',
  ],
  [
    'FORMERR without the question',
    (q) => Buffer.from([...q.subarray(0, 2), 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    {},
    'fail: answered with FORMERR',
  ],
  [
    'an answer that was cut',
    (q) => response(q, { flags: RESPONSE | 0x200 }),
    { answer: '10.0.0.1' },
    "fail: the answer was cut before 10.0.0.1: set the monitor's transport to tcp",
  ],
  [
    'an answer with a loop in its names',
    (q) =>
      Buffer.concat([
        response(q).subarray(0, 6),
        Buffer.from([0, 1, 0, 0, 0, 0]),
        q.subarray(12),
        Buffer.from([0xc0, 12 + q.subarray(12).length, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
      ]),
    {},
    'fail: the answer is no valid DNS message',
  ],
];

for (const [what, reply, more, verdict] of answers) {
  test(`dns: ${what}`, () =>
    withServer(
      (query, answer) => answer(reply(query)),
      async (port) => assert.is(said(await dns(port, more)), verdict),
    ));
}

const strangers: readonly (readonly [what: string, reply: (query: Buffer) => Buffer])[] = [
  ['of another id', (q) => response(q, { id: q.readUInt16BE(0) ^ 1, records: one })],
  [
    'to another question',
    (q) => response(encodeQuestion({ id: q.readUInt16BE(0), name: 'x.example', record: 'A' })),
  ],
  ['that is a question itself', (q) => q],
  ['of three bytes', () => Buffer.from([1, 2, 3])],
];

for (const [what, reply] of strangers) {
  test(`dns: a message ${what} is not looked at`, () =>
    withServer(
      (query, answer) => {
        answer(reply(query));
        answer(response(query, { records: one }));
      },
      async (port) => assert.is(said(await dns(port)), 'pass: answered, 1 record'),
    ));
}

test('dns: the question is what RFC 1035 says, and asks for recursion', () => {
  const bytes = encodeQuestion({ id: 0x1234, name: 'a.bc', record: 'MX' });
  assert.is(bytes.toString('hex'), '12340100000100000000000001610262630000' + '0f0001');
});

test('dns: over TCP, in pieces, to an IPv6 member', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (data: Buffer) => {
      const message = response(data.subarray(2), { records: one });
      const framed = Buffer.concat([Buffer.from([0, message.length]), message]);
      socket.write(framed.subarray(0, 1));
      setImmediate(() => socket.write(framed.subarray(1, 20)));
      setTimeout(() => socket.write(framed.subarray(20)), 20);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const result = await dns(port, { transport: 'tcp', answer: '10.0.0.1' }, '::1');
    assert.is(said(result), 'pass: answered with 10.0.0.1');
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('dns: nobody there', async () => {
  assert.is(said(await dns(await closedPort())), 'fail: port unreachable');
});

test('dns: no bytes make the reader throw', () => {
  const question = { id: 7, name: NAME, record: 'A' } as const;
  const query = encodeQuestion(question);
  const whole = response(query, { records: one });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from([0, 7, ...bytes])),
        fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, value]) => {
          const broken = Buffer.from(whole);
          broken[at] = value;
          return broken;
        }),
        fc.nat(whole.length).map((length) => whole.subarray(0, length)),
      ),
      (bytes) => {
        const verdict = judgeAnswer(Buffer.from(bytes), question, '10.0.0.1');
        assert.ok(verdict === null || verdict.reason.length < 200);
      },
    ),
    { numRuns: 3000 },
  );
});

test.run();
