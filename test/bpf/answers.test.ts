/**
 * What the fast path says itself: a packet too long for its way, a hop count used up (RFC 792,
 * RFC 1191, RFC 4443 §3.2 and §3.3), a TCP connection that nobody has (RFC 9293 §3.5.2); and when
 * it says nothing (RFC 1122 §3.2.2, RFC 4443 §2.4 e and f). Run with BPF_PROG_TEST_RUN.
 *
 * Invariant: expected answers are built here from the packet that asked for them.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { possibleCpus } from '../../native/ffi/libbpf.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath, serviceFlags } from './datapath.js';
import {
  addressBytes,
  clientMac,
  echo,
  frame,
  guePort,
  ipv4,
  ipv6,
  onesSum,
  pseudoHeader,
  unitMac,
  wrap,
  type FrameSpec,
  type LinkSpec,
} from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene, type Family } from './scene.js';
import {
  errorKinds,
  expectShapeAt,
  extended,
  extension,
  fragment,
  icmp,
  isIpv6,
  reheader,
  whole,
  type Shape,
} from './shapes.js';

const test = suite('bpf answers');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const clientLink = { fromMac: unitMac, toMac: clientMac };

/** How much of a packet of so many bytes is quoted. */
function quotedBytes(length: number, family: Family): number {
  return [512, 128, 68].find((most) => length >= most) ?? (family === 'ipv6' ? 48 : 28);
}

/** The error about a packet, to where it came from. */
function errorAbout(
  packet: Buffer,
  spec: Pick<FrameSpec, 'source' | 'destination'>,
  error: { readonly type: number; readonly code?: number; readonly rest?: number },
  link: LinkSpec = clientLink,
): Buffer {
  const body = packet.subarray(0, quotedBytes(packet.length, isIpv6(spec) ? 'ipv6' : 'ipv4'));
  const answer = { source: spec.destination, destination: spec.source, ttl: 64, body };
  return wrap(reflag(icmp({ ...answer, ...error }), 0x4000), link);
}

/** Makes the flags and the fragment offset of an IPv4 packet these. */
function reflag(packet: Buffer, flags: number): Buffer {
  if ((packet[0] ?? 0) >> 4 === 6) return packet;
  return reheader(packet, (header) => header.writeUInt16BE(flags, 6));
}

/** The reset that answers a request; it has no data, no options and no window. */
function resetOf(
  request: FrameSpec,
  what: { readonly sequence?: number; readonly acknowledge?: number },
  link: LinkSpec,
): Buffer {
  const [source, destination] = [addressBytes(request.destination), addressBytes(request.source)];
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(request.destinationPort, 0);
  tcp.writeUInt16BE(request.sourcePort, 2);
  tcp.writeUInt32BE(what.sequence ?? 0, 4);
  tcp.writeUInt32BE((what.acknowledge ?? 0) >>> 0, 8);
  tcp[12] = 0x50;
  tcp[13] = what.acknowledge === undefined ? 0x04 : 0x14;
  tcp.writeUInt16BE(~onesSum(pseudoHeader(source, destination, 6, 20), tcp) & 0xffff, 16);
  const common = { source, destination };
  const packet = isIpv6(request)
    ? ipv6({ ...common, next: 6, hopLimit: 64, flowLabel: 0 }, tcp)
    : ipv4({ ...common, protocol: 6, ttl: 64, identification: 0 }, tcp);
  return wrap(packet, link);
}

/** Sequence and acknowledgement numbers of every segment that tests make. */
const [sequence, acknowledged] = [0x11223344, 0x55667788];

/** Addresses that are nobody's, or more than one host's. */
const nobodies = {
  ipv4: ['0.0.0.0', '0.0.0.7', '127.0.0.1', '224.0.0.1', '239.1.2.3', '240.0.0.1', '255.255.255.255'], // prettier-ignore
  ipv6: ['::', '::1', 'ff02::1', 'ff0e::abcd'],
} as const;

for (const combination of combinations) {
  const { family, forwarding, protocol } = combination;
  const six = family === 'ipv6';
  const nat = forwarding.endsWith('nat');
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      const scene = new Scene(path, combination);
      path.settings({ errorsPerSecond: 1000, natAddresses: [scene.addresses.nat] });
      check(scene);
    });
  };
  const kinds = errorKinds[family];
  const exceeded = { type: kinds[4].error.type };
  const tooBig = (mtu: number) => ({ ...kinds[0].error, rest: mtu });
  const told = (): number => path.totals().errorsSent;

  at('time exceeded quotes packets of every size', (scene) => {
    const sizes = [0, 1, 3, 8, 28, 39, 40, 41, 59, 60, 67, 68, 88, 100, 107, 108, 471, 472, 473, 1400]; // prettier-ignore
    for (const size of sizes) {
      const request = scene.request({ payload: Buffer.alloc(size, 0xc3), ttl: size % 2 });
      expectSent(path, frame(request), errorAbout(whole(request), request, exceeded));
    }
    const { length } = sizes;
    assert.equal(path.drops(), { TTL_EXCEEDED: length }, 'each is a drop as well');
    assert.is(told(), length, 'errors sent');
    assert.is(path.serviceCounters(3).packets, 0, 'packets forwarded');
    assert.is(path.flow(scene.tuple), null, 'flows begun');
  });

  at('time exceeded does not quote what the link added', (scene) => {
    const request = scene.request({ payload: Buffer.alloc(1), ttl: 1, padding: 400 });
    expectSent(path, frame(request), errorAbout(whole(request), request, exceeded));
  });

  if (nat) {
    at('an answer whose hop count is used up is told to the member', (scene) => {
      expectShapeAt(path, scene, whole);
      for (const size of [0, 200, 900]) {
        const answer = scene.answer(scene.home, { ttl: 1, payload: Buffer.alloc(size, 1) });
        const link = { fromMac: scene.home.sourceMac, toMac: scene.home.mac };
        expectSent(path, frame(answer), errorAbout(whole(answer), answer, exceeded, link));
      }
    });
  }

  const tunnels =
    forwarding === 'tunnel'
      ? (['10.0.1.66', 'fd00:0:0:b::66'] as const).flatMap((address) =>
          [0, guePort].map((port) => ({
            name: `in a tunnel to ${address}${port ? ', GUE' : ''}`,
            overhead: (address.includes(':') ? 40 : 20) + (port ? 8 : 0),
            address,
            port,
          })),
        )
      : [{ name: 'as it is', overhead: 0, address: null, port: 0 }];
  for (const { name, overhead, address, port } of tunnels) {
    at(`too long for the way to the member, ${name}`, (scene) => {
      const member = { ...scene.home, address: address ?? scene.home.address, mtu: 1500 };
      path.member(member);
      path.service({ ...scene.service, guePort: port });
      const headers = (six ? 40 : 20) + (protocol === 'tcp' ? 20 : 8);
      const fits = 1500 - overhead;
      const sized = (length: number): FrameSpec =>
        scene.request({ payload: Buffer.alloc(length - headers, 0x3c) });
      const { verdict } = path.run(frame(sized(fits)));
      assert.is(verdict, 'tx', `a packet of ${fits} bytes`);
      for (const length of [fits + 1, fits + 2, 1600, 3200]) {
        const request = sized(length);
        expectSent(path, frame(request), errorAbout(whole(request), request, tooBig(fits)));
      }
      assert.equal(path.drops(), { TOO_BIG: 4 });
      // Bytes that the link added do not count.
      assert.is(path.run(frame({ ...sized(fits), padding: 200 })).verdict, 'tx');
    });
  }

  at('without a limit of the way nothing is too long', (scene) => {
    expectShapeAt(path, scene, whole, scene.request({ payload: Buffer.alloc(3000) }));
  });

  at('a first fragment that is too long', (scene) => {
    path.member({ ...scene.home, mtu: six ? 1300 : 600 });
    const request = scene.request({ payload: Buffer.alloc(2000) });
    const part = fragment(0, 1400)(request);
    const mtu = (six ? 1300 : 600) - (forwarding !== 'tunnel' ? 0 : six ? 40 : 20);
    // IPv4 may be cut further by a router, but not by this one; IPv6 never (RFC 8200 §5).
    if (!six) expectDrop(path, wrap(part), 'TOO_BIG');
    else expectSent(path, wrap(part), errorAbout(part, request, tooBig(mtu)));
    assert.is(told(), six ? 1 : 0, 'errors sent');
  });

  at('nothing is said to who is nobody', (scene) => {
    path.member({ ...scene.home, mtu: 1300 });
    for (const source of nobodies[family]) {
      expectDrop(path, frame(scene.request({ source, ttl: 1 })), 'TTL_EXCEEDED');
      const long = scene.request({ source, payload: Buffer.alloc(1400) });
      expectDrop(path, frame(long), 'TOO_BIG');
      expectPass(path, echo({ source, destination: scene.addresses.service }));
    }
    const flags = serviceFlags.resetDown;
    path.service({ ...scene.service, table: [], flags });
    for (const source of nobodies[family]) {
      expectDrop(
        path,
        frame(scene.request({ source, flags: 'S', sourcePort: 40_001 })),
        'NO_MEMBER',
      );
    }
    assert.is(told(), 0, 'errors sent');
  });

  at('no more is said than settings allow', (scene) => {
    const bytes = frame(scene.request({ ttl: 1 }));
    path.settings({ errorsPerSecond: 0, natAddresses: [scene.addresses.nat] });
    expectDrop(path, bytes, 'TTL_EXCEEDED');
    path.settings({ errorsPerSecond: 4, natAddresses: [scene.addresses.nat] });
    const from = process.hrtime.bigint();
    for (let count = 0; count < 60; count++) path.run(bytes);
    // The loop may straddle seconds and CPUs.
    const seconds = Number((process.hrtime.bigint() - from) / 1_000_000_000n) + 2;
    const most = 4 * possibleCpus * seconds;
    assert.ok(told() >= 4 && told() <= most, `errors sent: ${told()}, expected 4 to ${most}`);
    assert.is(path.drops().TTL_EXCEEDED, 61, 'all were dropped');
  });

  if (!six) {
    at('a packet that may be cut is dropped without a word when it is too long', (scene) => {
      path.member({ ...scene.home, mtu: 600 });
      const request = scene.request({ payload: Buffer.alloc(700) });
      expectDrop(path, wrap(reflag(whole(request), 0)), 'TOO_BIG');
      expectSent(
        path,
        frame(request),
        errorAbout(whole(request), request, tooBig(forwarding === 'tunnel' ? 580 : 600)),
      );
      assert.is(told(), 1, 'errors sent');
    });

    at('options are quoted along', (scene) => {
      for (const ipOptions of [4, 40]) {
        for (const size of [0, 60, 600]) {
          const request = scene.request({ ttl: 1, ipOptions, payload: Buffer.alloc(size, 9) });
          expectSent(path, frame(request), errorAbout(whole(request), request, exceeded));
        }
      }
    });
  }

  if (protocol === 'udp') {
    at('a datagram that nobody takes is dropped without a word', (scene) => {
      path.service({ ...scene.service, table: [], flags: serviceFlags.resetDown });
      expectDrop(path, frame(scene.request()), 'NO_MEMBER');
      assert.is(told(), 0, 'errors sent');
    });
    continue;
  }

  /** Segments and what their reset says. */
  const segments: readonly {
    readonly name: string;
    readonly change: Partial<FrameSpec>;
    readonly says: { readonly sequence?: number; readonly acknowledge?: number };
  }[] = [
    { name: 'a SYN', change: { flags: 'S', payload: Buffer.alloc(0) }, says: { acknowledge: sequence + 1 } }, // prettier-ignore
    { name: 'a SYN with options', change: { flags: 'S', payload: Buffer.alloc(0), tcpOptions: 40 }, says: { acknowledge: sequence + 1 } }, // prettier-ignore
    { name: 'a SYN with data', change: { flags: 'S', payload: Buffer.alloc(33) }, says: { acknowledge: sequence + 34 } }, // prettier-ignore
    { name: 'a SYN with padding', change: { flags: 'S', payload: Buffer.alloc(0), padding: 6 }, says: { acknowledge: sequence + 1 } }, // prettier-ignore
    { name: 'an acknowledgement', change: { flags: 'A' }, says: { sequence: acknowledged } },
    { name: 'data', change: { flags: 'PA', payload: Buffer.alloc(1200) }, says: { sequence: acknowledged } }, // prettier-ignore
    { name: 'a SYN-ACK', change: { flags: 'SA' }, says: { sequence: acknowledged } },
    { name: 'a FIN with an acknowledgement', change: { flags: 'FA' }, says: { sequence: acknowledged } }, // prettier-ignore
    { name: 'a FIN with data', change: { flags: 'F', payload: Buffer.alloc(5) }, says: { acknowledge: sequence + 6 } }, // prettier-ignore
  ];
  const links: readonly LinkSpec[] = [{}, { vlan: [100] }, { vlan: [0xe000] }, { vlan: [7, 9] }];
  for (const { name, change, says } of segments) {
    at(`${name} that nobody takes is reset`, (scene) => {
      path.service({ ...scene.service, table: [], flags: serviceFlags.resetDown });
      for (const link of links) {
        const request = scene.request({ ...change, ...link });
        expectSent(path, frame(request), resetOf(request, says, { ...clientLink, ...link }));
      }
      assert.equal(path.drops(), { NO_MEMBER: links.length }, 'each is a drop as well');
      assert.is(told(), links.length, 'resets sent');
    });
  }

  at('nothing is said to a reset, a fragment or a segment behind options', (scene) => {
    path.service({ ...scene.service, table: [], flags: serviceFlags.resetDown });
    expectDrop(path, frame(scene.request({ flags: 'R' })), 'NO_MEMBER');
    expectDrop(path, frame(scene.request({ flags: 'RA' })), 'NO_MEMBER');
    const part = fragment(0, 24)(scene.request({ flags: 'S', payload: Buffer.alloc(20) }));
    expectDrop(path, wrap(part), 'NO_MEMBER');
    const behind: Shape = six
      ? extended([extension('destination')])
      : (spec) => whole({ ...spec, ipOptions: 8 });
    expectDrop(path, wrap(behind(scene.request({ flags: 'S' }))), 'NO_MEMBER');
    assert.is(told(), 0, 'resets sent');
  });

  if (nat) {
    at('who is nobody gets no cookie', (scene) => {
      const flags = serviceFlags.cookies | serviceFlags.cookiesAlways;
      path.service({ ...scene.service, flags });
      for (const source of nobodies[family]) {
        expectDrop(path, frame(scene.request({ source, flags: 'S' })), 'COOKIE');
      }
      assert.is(path.cookies(scene.service.id).sent, 0, 'cookies sent');
    });
  }

  at('without the flag nobody is reset', (scene) => {
    path.service({ ...scene.service, table: [] });
    expectDrop(path, frame(scene.request({ flags: 'S' })), 'NO_MEMBER');
    assert.is(told(), 0, 'resets sent');
  });

  at('a connection whose member is gone is reset if the service says so', (scene) => {
    path.service({ ...scene.service, flags: serviceFlags.resetLost });
    expectShapeAt(path, scene, whole, scene.request({ flags: 'S' }));
    expectShapeAt(path, scene, whole, scene.request({ flags: 'A' }));
    scene.set(scene.home, { state: 'down' });
    scene.send(2);
    const request = scene.request({ flags: 'PA' });
    const says = { sequence: acknowledged };
    expectSent(path, frame(request), resetOf(request, says, clientLink));
    // A new one goes elsewhere.
    expectShapeAt(path, scene, whole, scene.request({ flags: 'S' }), scene.spare);
    assert.equal(path.drops(), { NO_MEMBER: 1 });
  });
}

test.run();
