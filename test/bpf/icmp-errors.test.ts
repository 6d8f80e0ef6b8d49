/**
 * ICMP and ICMPv6 errors (RFC 792, RFC 4443) reach the owner of the flow that they quote: those
 * about a member's answer the member, those about what nat sent to a member the client. What they
 * quote becomes what its sender sent (RFC 5508 §4.2). Run with BPF_PROG_TEST_RUN.
 *
 * Invariant: the quotation that must come out is cut from the packet as its sender built it, with
 * sums computed over all of it, and the error's own sum is computed anew.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { checksumFaults } from './checksums.js';
import { Datapath, type MemberSpec } from './datapath.js';
import { clientMac, unitMac, wrap, type FrameSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene } from './scene.js';
import {
  bend,
  errorKinds,
  expectShapeAt,
  extended,
  extension,
  fragment,
  fragmentBetween,
  fragmentHeader,
  icmp,
  quotation,
  reprotocol,
  tunnelled,
  whole,
  type IcmpSpec,
  type Shape,
} from './shapes.js';

const test = suite('bpf icmp errors');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

/** How much of a packet is quoted: bytes behind its IP header. */
const lengths = [8, 12, 18, 20, 28, 61, 508, null] as const;
const payload = Uint8Array.from({ length: 700 }, (_, index) => (index * 29) & 0xff);
const routers = { ipv4: '203.0.113.9', ipv6: '2001:db8:ffff::1' } as const;
const quoteTtl = 57;

type Error = Omit<IcmpSpec, 'source' | 'destination' | 'body' | 'ttl'>;

for (const combination of combinations) {
  const { family, forwarding, protocol } = combination;
  const six = family === 'ipv6';
  const kinds = errorKinds[family];
  const [tooBig, unreachable] = [kinds[0].error, kinds[1].error];
  const nat = forwarding.endsWith('nat');
  const router: string = routers[family];

  /** The scene with a flow whose errors are looked at. */
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      const scene = new Scene(path, combination);
      expectShapeAt(path, scene, whole);
      check(scene);
      assert.is(path.totals().errorsSent, 0, 'errors about errors');
    });
  };
  /** An answer as the member sends it, and as the client sees it. */
  const sentAnswer = (scene: Scene, change: Partial<FrameSpec> = {}): FrameSpec => {
    const common = { payload, ttl: quoteTtl, ...change };
    if (nat) return scene.answer(scene.home, common);
    return { ...seenAnswer(scene, change) };
  };
  const seenAnswer = (scene: Scene, change: Partial<FrameSpec> = {}): FrameSpec => ({
    source: scene.addresses.service,
    destination: scene.addresses.client,
    protocol,
    sourcePort: 80,
    destinationPort: scene.clientPort,
    payload,
    ttl: quoteTtl,
    ...change,
  });

  /** What the member gets of an error about its answer. */
  const atMember = (scene: Scene, from: string, error: Error, body: Buffer): Buffer => {
    const { home } = scene;
    const destination = nat ? home.address : scene.addresses.service;
    const packet = icmp({ ...error, source: from, destination, ttl: 60, body });
    if (forwarding === 'tunnel') return tunnelled(scene.request(), home, packet);
    return wrap(packet, { fromMac: home.sourceMac, toMac: home.mac });
  };
  const expectAtMember = (
    scene: Scene,
    error: Error,
    shape: Shape,
    change: Partial<FrameSpec> = {},
    from = router,
  ): void => {
    const destination = scene.addresses.service;
    const body = shape(seenAnswer(scene, change));
    const sent = wrap(icmp({ ...error, source: from, destination, body }));
    expectSent(path, sent, () => atMember(scene, from, error, shape(sentAnswer(scene, change))));
  };

  /** A request as it goes to the member, and the error about it that the client gets. */
  const delivered = (scene: Scene, change: Partial<FrameSpec> = {}): FrameSpec => ({
    ...scene.moved(scene.request({ payload, ...change }), scene.home),
    ttl: quoteTtl,
  });
  const memberLink = (home: MemberSpec) => ({ fromMac: home.mac, toMac: home.sourceMac });
  const clientLink = { fromMac: unitMac, toMac: clientMac };
  const expectAtClient = (
    scene: Scene,
    error: Error,
    shape: Shape,
    change: Partial<FrameSpec> = {},
    from = router,
  ): void => {
    const request = delivered(scene, change);
    const body = shape(request);
    const source = from === scene.home.address ? scene.addresses.service : from;
    expectSent(
      path,
      wrap(
        icmp({ ...error, source: from, destination: request.source, body }),
        memberLink(scene.home),
      ),
      () => {
        const quoted = shape(scene.request({ payload, ttl: quoteTtl, ...change }));
        const destination = scene.addresses.client;
        return wrap(icmp({ ...error, source, destination, ttl: 60, body: quoted }), clientLink);
      },
    );
  };

  for (const { name, error } of kinds) {
    at(`${name}, about an answer`, (scene) => {
      for (const bytes of lengths) expectAtMember(scene, error, quotation(bytes));
      expectAtMember(scene, error, quotation(8), {}, scene.addresses.client);
      expectAtMember(scene, error, quotation(null), {}, scene.addresses.client);
      const count = lengths.length + 2;
      assert.is(path.serviceCounters(3).packets, count + 1, 'packets to the member');
      assert.equal(path.drops(), {});
    });
    if (!nat) continue;
    at(`${name}, about a request`, (scene) => {
      for (const bytes of lengths) {
        expectAtClient(scene, error, quotation(bytes));
        expectAtClient(scene, error, quotation(bytes), {}, scene.home.address);
      }
      assert.is(path.serviceCounters(3).replyPackets, 2 * lengths.length, 'packets to the client');
      assert.equal(path.drops(), {});
    });
  }

  /** What is quoted in other forms. */
  const forms: readonly { name: string; shape: Shape; change?: Partial<FrameSpec> }[] = [
    { name: 'a first fragment', shape: fragment(0, 64) },
    { name: 'a first fragment of 8 bytes', shape: fragment(0, 8) },
    { name: 'an empty packet', shape: whole, change: { payload: new Uint8Array(0) } },
    ...(protocol === 'udp'
      ? [{ name: 'a datagram without a checksum', shape: whole, change: { noChecksum: true } }]
      : [{ name: 'a SYN with options', shape: whole, change: { flags: 'S', tcpOptions: 40 } }]),
    ...(six
      ? [
          { name: 'destination options', shape: extended([extension('destination', 24)]) },
          {
            name: 'an atomic fragment behind options',
            shape: extended([extension('hopByHop'), fragmentHeader(0, false, 77)]),
          },
          {
            name: 'a first fragment behind options',
            shape: fragmentBetween([extension('hopByHop')], [extension('destination')], 0, 64),
          },
        ]
      : [
          { name: 'options of 4 bytes', shape: quotation(8), change: { ipOptions: 4 } },
          { name: 'options of 40 bytes', shape: quotation(8), change: { ipOptions: 40 } },
          { name: 'options, and all of it', shape: whole, change: { ipOptions: 24 } },
        ]),
  ];
  for (const { name, shape, change } of forms) {
    at(`quoting ${name}`, (scene) => {
      expectAtMember(scene, tooBig, shape, change);
      if (nat) expectAtClient(scene, tooBig, shape, change);
    });
  }

  at('the bytes behind a short quotation are no part of it', (scene) => {
    // Too few for a TCP checksum, which would stand in the padding.
    const error = icmp({
      ...unreachable,
      source: router,
      destination: scene.addresses.service,
      body: quotation(8)(seenAnswer(scene)),
    });
    const expected = atMember(scene, router, unreachable, quotation(8)(sentAnswer(scene)));
    const padding = Buffer.alloc(24, 0xee);
    expectSent(path, Buffer.concat([wrap(error), padding]), Buffer.concat([expected, padding]));
  });

  at('a part of the 8 bytes, and padding that goes on with them: it passes', (scene) => {
    const whole8 = quotation(8)(seenAnswer(scene));
    const body = whole8.subarray(0, whole8.length - 2);
    const error = { ...unreachable, source: router, destination: scene.addresses.service, body };
    const padding = whole8.subarray(whole8.length - 2);
    expectPass(path, Buffer.concat([wrap(icmp(error)), padding, Buffer.alloc(9)]));
  });

  if (protocol === 'udp') {
    at('a quoted checksum that adds up to zero is all ones', (scene) => {
      const change = { payload: Buffer.alloc(32) };
      const sum = whole(sentAnswer(scene, change)).readUInt16BE(six ? 46 : 26);
      change.payload.writeUInt16BE(sum, 0);
      const zero = whole(sentAnswer(scene, change)).readUInt16BE(six ? 46 : 26);
      assert.is(zero, 0xffff, 'the test’s own arithmetic');
      expectAtMember(scene, tooBig, whole, change);
      expectAtMember(scene, tooBig, quotation(8), change);
    });
  }

  at('what it quotes need not be right, and stays as wrong', (scene) => {
    const sum = (six ? 40 : 20) + (protocol === 'tcp' ? 16 : 6);
    const bent: Shape = (spec) => {
      const packet = whole(spec);
      return bend(packet, sum + 1, (packet[sum + 1] ?? 0) ^ 1);
    };
    const body = bent(seenAnswer(scene));
    const error = { ...unreachable, source: router, destination: scene.addresses.service, body };
    const { verdict, data } = path.run(wrap(icmp(error)));
    assert.is(verdict, 'tx');
    const faults = checksumFaults(data).map((fault) => fault.replace('inner ', ''));
    assert.equal(faults, [`quoted checksum of protocol ${protocol === 'tcp' ? 6 : 17}`]);
  });

  at('a wrong sum of the error itself stays wrong', (scene) => {
    const destination = scene.addresses.service;
    const body = quotation(8)(seenAnswer(scene));
    const packet = icmp({ ...unreachable, source: router, destination, body });
    const sum = six ? 42 : 22;
    packet[sum] = (packet[sum] ?? 0) ^ 0x10;
    const { verdict, data } = path.run(wrap(packet));
    assert.is(verdict, 'tx');
    assert.is.not(checksumFaults(data).length, 0, 'number of wrong sums');
  });

  at('its hop count used up: dropped, and nothing is said', (scene) => {
    const body = quotation(8)(seenAnswer(scene));
    const error = { ...tooBig, source: router, destination: scene.addresses.service, body };
    for (const ttl of [0, 1]) expectDrop(path, wrap(icmp({ ...error, ttl })), 'TTL_EXCEEDED');
    if (!nat) return;
    const request = delivered(scene);
    const about = { ...tooBig, source: router, destination: request.source, ttl: 1 };
    expectDrop(path, wrap(icmp({ ...about, body: whole(request) })), 'TTL_EXCEEDED');
  });

  at('longer than the way to the member: dropped, and nothing is said', (scene) => {
    const body = quotation(null)(seenAnswer(scene));
    const packet = icmp({ ...tooBig, source: router, destination: scene.addresses.service, body });
    const outer = forwarding !== 'tunnel' ? 0 : six ? 40 : 20;
    path.member({ ...scene.home, mtu: packet.length + outer - 1 });
    expectDrop(path, wrap(packet), 'TOO_BIG');
    path.member({ ...scene.home, mtu: packet.length + outer });
    expectAtMember(scene, tooBig, quotation(null));
  });

  at('it follows its flow when others go elsewhere', (scene) => {
    scene.send(2);
    scene.set(scene.home, { state: 'draining' });
    expectAtMember(scene, tooBig, quotation(8));
    if (nat) expectAtClient(scene, tooBig, quotation(8));
  });

  const ownPort = (scene: Scene): void => {
    const home = { ...scene.home, port: 0 };
    path.member(home);
    const body = quotation(8)(seenAnswer(scene));
    const about = { ...tooBig, source: router, ttl: 60 };
    const sent = icmp({ ...about, destination: scene.addresses.service, ttl: 61, body });
    const quoted = quotation(8)({ ...sentAnswer(scene), sourcePort: 80 });
    const moved = icmp({ ...about, destination: home.address, body: quoted });
    expectSent(path, wrap(sent), wrap(moved, { fromMac: home.sourceMac, toMac: home.mac }));
  };
  if (nat) at('a member without a port of its own has the service’s', ownPort);

  at('nobody left to get it: dropped', (scene) => {
    const error = { ...tooBig, source: router, destination: scene.addresses.service };
    const body = quotation(8)(seenAnswer(scene));
    scene.set(scene.home, { state: 'down' });
    expectDrop(path, wrap(icmp({ ...error, body })), 'ICMP');
    scene.set(scene.home, { state: 'serving', interface: 77 });
    expectDrop(path, wrap(icmp({ ...error, body })), 'REDIRECT');
    if (!nat) return;
    scene.set(scene.home, { state: 'serving' });
    const unknown = quotation(8)(seenAnswer(scene, { destinationPort: 41_000 }));
    expectDrop(path, wrap(icmp({ ...error, body: unknown })), 'ICMP');
    // It may be about something of the unit's own.
    const request = { ...delivered(scene), sourcePort: 42_000 };
    const about = { ...tooBig, source: router, destination: request.source };
    expectPass(path, wrap(icmp({ ...about, body: whole(request) })));
  });

  at('about what is not for a service: it passes', (scene) => {
    const error = { ...unreachable, source: router, destination: scene.addresses.service };
    const about = (change: Partial<FrameSpec>): void => {
      expectPass(path, wrap(icmp({ ...error, body: whole(seenAnswer(scene, change)) })));
    };
    about({ sourcePort: 81 });
    about({ source: scene.addresses.other });
    about({ protocol: protocol === 'tcp' ? 'udp' : 'tcp' });
    const elsewhere = { ...error, destination: scene.addresses.other };
    const theirs = seenAnswer(scene, { source: scene.addresses.other });
    expectPass(path, wrap(icmp({ ...elsewhere, body: whole(theirs) })));
  });

  const unclear: readonly { name: string; shape: Shape }[] = [
    { name: 'nothing', shape: () => Buffer.alloc(0) },
    { name: 'an IP header alone', shape: quotation(0) },
    { name: 'half an IP header', shape: (spec) => whole(spec).subarray(0, 12) },
    { name: 'ports without the 8 bytes', shape: quotation(7) },
    { name: 'a later fragment', shape: fragment(64, 128) },
    { name: 'another transport', shape: reprotocol(six ? 6 : 9, 132) },
    { name: 'an echo', shape: reprotocol(six ? 6 : 9, six ? 58 : 1) },
    { name: 'another version', shape: (spec) => bend(whole(spec), 0, 0x55) },
    ...(six
      ? [{ name: 'seven headers', shape: extended(Array.from({ length: 7 }, () => extension('destination'))) }] // prettier-ignore
      : [
          {
            name: 'a header length below 5',
            shape: (spec: FrameSpec) => bend(whole(spec), 0, 0x44),
          },
        ]),
  ];
  for (const { name, shape } of unclear) {
    at(`quoting ${name}: it passes`, (scene) => {
      const body = shape(seenAnswer(scene));
      const error = { ...unreachable, source: router, destination: scene.addresses.service, body };
      expectPass(path, wrap(icmp(error)));
      if (!nat) return;
      const request = delivered(scene);
      const about = { ...unreachable, source: router, destination: request.source };
      expectPass(path, wrap(icmp({ ...about, body: shape(request) })));
    });
  }

  at('what is no error passes', (scene) => {
    const body = whole(seenAnswer(scene));
    const types = six ? [0, 5, 127, 133, 135, 137] : [4, 5, 9, 10, 13, 40];
    for (const type of types) {
      const packet = icmp({ type, source: router, destination: scene.addresses.service, body });
      expectPass(path, wrap(packet));
    }
  });

  at('with options or extension headers of its own', (scene) => {
    const destination = scene.addresses.service;
    const error = { ...tooBig, source: router };
    const [seen, sent] = [quotation(8)(seenAnswer(scene)), quotation(8)(sentAnswer(scene))];
    const headed = six ? withOptions6 : (packet: Buffer) => packet;
    const options = six ? 0 : 12;
    const home = nat ? scene.home.address : destination;
    const moved = headed(icmp({ ...error, options, destination: home, ttl: 60, body: sent }));
    const link = { fromMac: scene.home.sourceMac, toMac: scene.home.mac };
    const expected =
      forwarding === 'tunnel' ? tunnelled(scene.request(), scene.home, moved) : wrap(moved, link);
    expectSent(path, wrap(headed(icmp({ ...error, options, destination, body: seen }))), expected);
  });

  if (six) continue;
  at('a wrong checksum of its IPv4 header is dropped', (scene) => {
    for (const options of [0, 16]) {
      const body = quotation(8)(seenAnswer(scene));
      const error = { ...tooBig, source: router, options, body };
      const wrong = (destination: string): Buffer =>
        wrap(bend(icmp({ ...error, destination }), 4, 0x77));
      expectDrop(path, wrong(scene.addresses.service), 'IP_CHECKSUM');
      expectPass(path, wrong(scene.addresses.other));
      if (!nat) continue;
      const request = delivered(scene);
      const about = { ...error, destination: request.source, body: whole(request) };
      expectDrop(path, wrap(bend(icmp(about), 4, 0x77)), 'IP_CHECKSUM');
    }
  });
}

/** Hop-by-hop options before an ICMPv6 message. */
function withOptions6(packet: Buffer): Buffer {
  const header = Buffer.from(packet.subarray(0, 40));
  header.writeUInt16BE(packet.length - 40 + 8, 4);
  header[6] = 0;
  return Buffer.concat([header, Uint8Array.of(58, 0, 1, 4, 0, 0, 0, 0), packet.subarray(40)]);
}

test.run();
