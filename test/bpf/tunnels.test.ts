/**
 * Tunnels to members of either family: IP in IP (RFC 2003, RFC 2473, RFC 4213) and GUE variant 1
 * (draft-ietf-intarea-gue-09 §4). The outer header is new but for traffic class and congestion
 * marks (RFC 6040 §4.1), its source differs from flow to flow, and GUE's checksum covers all of
 * the packet inside (RFC 768, RFC 8200 §8.1). Run with BPF_PROG_TEST_RUN.
 *
 * Invariant: checksums that are expected are sums over every byte; the program reads headers only.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Datapath, type MemberSpec } from './datapath.js';
import { frame, guePort, onesSum, wrap, type FrameSpec } from './packets.js';
import { combinations, expectDrop, expectSent, Scene, tunnelOuter } from './scene.js';
import {
  errorKinds,
  extended,
  extension,
  icmp,
  quotation,
  reheader,
  segmentOf,
  tunnelled,
  whole,
  type Shape,
} from './shapes.js';

const test = suite('bpf tunnels');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const far = { ipv4: '10.0.1.66', ipv6: 'fd00:0:0:b::66' } as const;

for (const combination of combinations.filter((one) => one.forwarding === 'tunnel')) {
  const { family, protocol } = combination;
  const six = family === 'ipv6';

  for (const outer of ['ipv4', 'ipv6'] as const) {
    for (const port of [0, guePort]) {
      const name = `${protocol} ${family} ${port === 0 ? 'in' : 'by GUE in'} ${outer}`;
      const at = (what: string, check: (scene: Scene, member: MemberSpec) => void): void => {
        needs.bpf(test)(`${name}: ${what}`, () => {
          const scene = new Scene(path, combination);
          const member = { ...scene.home, address: far[outer] };
          path.member(member);
          path.service({ ...scene.service, guePort: port });
          check(scene, member);
        });
      };
      const expectThrough = (
        scene: Scene,
        member: MemberSpec,
        shape: Shape,
        request: FrameSpec,
        noChecksum = false,
      ): void => {
        const inner = shape(scene.moved(request, member));
        const around = tunnelled(request, member, inner, { port, noChecksum });
        const padding = Buffer.alloc(request.padding ?? 0);
        const sent = Buffer.concat([wrap(shape(request), request), padding]);
        expectSent(path, sent, Buffer.concat([around, padding]));
      };

      at('payloads of many sizes', (scene, member) => {
        for (const size of [0, 1, 2, 3, 5, 64, 255, 256, 1001, 1400]) {
          const payload = Uint8Array.from({ length: size }, (_, index) => (index * 31 + 7) & 0xff);
          expectThrough(scene, member, whole, scene.request({ payload }));
        }
        assert.is(path.memberCounters(1).packets, 10);
      });

      at('the packet’s traffic class and congestion marks', (scene, member) => {
        for (const trafficClass of [0x00, 0x01, 0x02, 0x03, 0xb8, 0xbb, 0xff]) {
          expectThrough(scene, member, whole, scene.request({ trafficClass }));
        }
      });

      at('the hop count inside goes down, the outer one is new', (scene, member) => {
        for (const ttl of [2, 64, 65, 255]) {
          expectThrough(scene, member, whole, scene.request({ ttl }));
        }
      });

      at('the outer source differs from flow to flow and is the flow’s', (scene, member) => {
        const sources = new Set<string>();
        const flows = 64;
        for (let flow = 0; flow < flows; flow++) {
          const request = scene.request({ sourcePort: 1024 + flow * 997 });
          expectThrough(scene, member, whole, request);
          expectThrough(scene, member, whole, request);
          const { source, gue } = tunnelOuter(request, member, port);
          sources.add(`${source} ${gue?.sourcePort ?? 0}`);
          if (gue !== undefined) assert.ok(gue.sourcePort >= 0xc000, 'an ephemeral port');
        }
        assert.ok(sources.size > flows - 3, `${sources.size} sources of ${flows} flows`);
      });

      at('what the link added stays behind, and is not counted', (scene, member) => {
        expectThrough(
          scene,
          member,
          whole,
          scene.request({ padding: 18, payload: Buffer.alloc(1) }),
        );
      });

      at('under the tags towards the member', (scene, member) => {
        for (const vlan of [[100], [200, 100]]) {
          const tagged = { ...member, vlan };
          path.member(tagged);
          for (const tags of [[], [5], [100], [6, 7]]) {
            expectThrough(scene, tagged, whole, scene.request({ vlan: tags }));
          }
        }
      });

      if (six) {
        at('behind extension headers, whose sum nobody knows', (scene, member) => {
          const shape = extended([extension('hopByHop', 16), extension('destination')]);
          const request = scene.request({ payload: Buffer.alloc(33, 3) });
          expectThrough(scene, member, shape, request, true);
        });
      } else {
        at('IPv4 options', (scene, member) => {
          for (const ipOptions of [4, 20, 40]) {
            expectThrough(scene, member, whole, scene.request({ ipOptions }));
          }
        });

        at('a packet that may be cut is not cut in the tunnel', (scene, member) => {
          const shape: Shape = (spec) =>
            reheader(whole(spec), (header) => header.writeUInt16BE(0, 6));
          expectThrough(scene, member, shape, scene.request());
        });
      }

      if (protocol === 'udp') {
        at('a datagram without a checksum', (scene, member) => {
          expectThrough(scene, member, whole, scene.request({ noChecksum: true }), true);
        });

        at('a datagram with bytes behind it that its checksum leaves out', (scene, member) => {
          expectThrough(scene, member, surplus, scene.request(), true);
        });
      }

      at('an error about an answer', (scene, member) => {
        const sent: FrameSpec = {
          ...scene.answer(scene.home),
          source: scene.addresses.service,
          sourcePort: 80,
          payload: Buffer.alloc(300, 1),
        };
        for (const { error } of errorKinds[family]) {
          for (const bytes of [8, 61, null]) {
            const about = {
              ...error,
              source: scene.addresses.client,
              destination: scene.addresses.service,
              body: quotation(bytes)(sent),
            };
            const inner = icmp({ ...about, ttl: 60 });
            const around = tunnelled(scene.request(), member, inner, { port });
            expectSent(path, wrap(icmp(about)), around);
          }
        }
      });

      if (port === 0) continue;

      at('a checksum that adds up to zero is all ones', (scene, member) => {
        const request = scene.request({ payload: Buffer.from('zero') });
        // The port is one of the words that are added up, so it can make up for all the others.
        const wrong = path.run(frame(request)).data;
        const at = 14 + (outer === 'ipv6' ? 40 : 20) + 6;
        const zero = (port + Buffer.from(wrong).readUInt16BE(at)) % 0xffff;
        path.service({ ...scene.service, guePort: zero });
        const inner = whole(scene.moved(request, member));
        const around = tunnelled(request, member, inner, { port: zero });
        assert.is(around.readUInt16BE(at), 0xffff, 'the test’s own arithmetic');
        expectSent(path, frame(request), around);
      });

      at('a wrong checksum inside makes a wrong one outside', (scene) => {
        const packet = whole(scene.request());
        const last = packet.length - 1;
        packet[last] = (packet[last] ?? 0) ^ 1;
        const { verdict, data } = path.run(wrap(packet));
        assert.is(verdict, 'tx');
        const [address, start] = outer === 'ipv6' ? [22, 54] : [26, 34];
        const datagram = Buffer.from(data).subarray(start);
        const pseudo = Uint8Array.of(0, 17, 0, 0);
        new DataView(pseudo.buffer).setUint16(2, datagram.length);
        const sum = onesSum(data.subarray(address, start), pseudo, datagram);
        assert.is.not(sum, 0xffff, 'the sum of a packet that is broken');
      });
    }
  }

  needs.bpf(test)(`${combination.name}: a tunnel without room for the smallest packet`, () => {
    const scene = new Scene(path, combination);
    path.settings({ errorsPerSecond: 0 });
    for (const [guePortOf, mtu] of [
      [0, 60],
      [guePort, 68],
    ] as const) {
      // prettier-ignore
      path.service({ ...scene.service, guePort: guePortOf });
      path.member({ ...scene.home, mtu });
      expectDrop(path, frame(scene.request({ payload: Buffer.alloc(60) })), 'TOO_BIG');
    }
  });
}

/** A datagram that is shorter than the packet it is in (RFC 9868). */
function surplus(spec: FrameSpec): Buffer {
  const packet = whole(spec);
  const extra = Buffer.from('surplus!');
  const long = Buffer.concat([packet, extra]);
  const header = packet.length - segmentOf(spec).length;
  if (header === 40) {
    long.writeUInt16BE(long.length - header, 4);
    return long;
  }
  return reheader(long, (bytes) => bytes.writeUInt16BE(long.length, 2));
}

test.run();
