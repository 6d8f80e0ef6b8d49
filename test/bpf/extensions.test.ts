/**
 * What stands between an IP header and TCP or UDP: IPv6 extension headers (RFC 8200 §4) and IPv4
 * options (RFC 791 §3.1), whole, cut short and lying; the checks that a service's packets alone
 * go through: the IPv4 header's checksum and TCP flags. Run with BPF_PROG_TEST_RUN.
 */
import { suite } from 'uvu';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { frame, wrap, type FrameSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene } from './scene.js';
import {
  expectShapeAt,
  expectShapeBack,
  extended,
  extension,
  fragmentHeader,
  icmp,
  reheader,
  whole,
  type Extension,
  type Shape,
} from './shapes.js';

const test = suite('bpf extensions');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const atomic = fragmentHeader(0, false, 0x4711);

/** Chains of headers behind which the flow is found. */
const walked: readonly { readonly name: string; readonly shape: Shape }[] = [
  { name: 'hop-by-hop options', shape: extended([extension('hopByHop')]) },
  { name: 'hop-by-hop options of 64 bytes', shape: extended([extension('hopByHop', 64)]) },
  { name: 'destination options', shape: extended([extension('destination')]) },
  { name: 'a routing header', shape: extended([extension('routing', 24)]) },
  { name: 'an atomic fragment (RFC 6946)', shape: extended([atomic]) },
  {
    name: 'all kinds',
    shape: extended([
      extension('hopByHop', 16),
      extension('destination'),
      extension('routing', 40),
      atomic,
      extension('destination', 24),
    ]),
  },
  {
    name: 'six headers',
    shape: extended(new Array(6).fill(extension('destination'))),
  },
  {
    name: '512 bytes of headers',
    shape: extended([extension('hopByHop', 256), extension('destination', 256)]),
  },
];

/** Changes a packet that has one extension header of 8 bytes. */
function bent(change: (packet: Buffer) => Buffer | undefined): Shape {
  const shape = extended([extension('destination')]);
  return (spec) => {
    const packet = shape(spec);
    return change(packet) ?? packet;
  };
}

function leftHop(): Extension {
  const routing = extension('routing', 24);
  const rest = Buffer.from(routing.rest);
  rest[2] = 1;
  return { ...routing, rest };
}

function cut(bytes: number): Shape {
  return bent((packet) => {
    const short = Buffer.from(packet.subarray(0, 40 + bytes));
    short.writeUInt16BE(bytes, 4);
    return short;
  });
}

/** Chains that contradict the packet's length, for which a service's packet is dropped. */
const broken: readonly { readonly name: string; readonly shape: Shape }[] = [
  { name: 'nothing behind the IPv6 header', shape: cut(0) },
  { name: 'half an extension header', shape: cut(4) },
  { name: 'nothing behind the extension header', shape: cut(8) },
  { name: 'ports only behind it', shape: cut(12) },
  {
    name: 'a length that goes just beyond the packet',
    shape: bent((packet) => {
      packet[41] = packet.readUInt16BE(4) / 8;
      return undefined;
    }),
  },
  {
    name: 'the longest length',
    shape: bent((packet) => {
      packet[41] = 255;
      return undefined;
    }),
  },
  {
    name: 'an extension header in the frame but not in the packet',
    shape: bent((packet) => {
      packet.writeUInt16BE(4, 4);
      return undefined;
    }),
  },
  {
    name: 'more than 512 bytes of headers',
    shape: extended([extension('hopByHop', 264), extension('destination', 256)]),
  },
];

/** What the unit does not look behind: the kernel's, whoever it is for. */
const strange: readonly { readonly name: string; readonly shape: Shape }[] = [
  { name: 'seven headers', shape: extended(new Array(7).fill(extension('destination'))) },
  {
    name: 'an authentication header',
    shape: extended([{ ...extension('destination', 16), kind: 51 }]),
  },
  {
    // Its destination is a stop on the way, and the checksum that of another one.
    name: 'a routing header with a hop left',
    shape: extended([extension('hopByHop'), leftHop()]),
  },
  {
    name: 'no next header',
    shape: (spec) => {
      const packet = whole(spec);
      packet[6] = 59;
      return packet;
    },
  },
  {
    name: 'no next header behind options',
    shape: bent((packet) => {
      packet[40] = 59;
      return undefined;
    }),
  },
];

const wrongFlags = ['SF', 'SR', 'SFA', 'SRA', 'SFRPAU', '', 'P', 'U', 'PU'];
const rightFlags = ['S', 'SA', 'A', 'PA', 'FA', 'FPA', 'FPUA', 'F', 'R', 'RA'];

for (const combination of combinations) {
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      check(new Scene(path, combination));
    });
  };
  const answers = combination.forwarding.endsWith('nat');
  const other = (scene: Scene): FrameSpec =>
    scene.request({ destination: scene.addresses.other, payload: Buffer.alloc(21, 7) });
  const sizes = [0, 5, 64, 901];

  if (combination.family === 'ipv6') {
    for (const { name, shape } of walked) {
      at(`behind ${name}`, (scene) => {
        for (const size of sizes) {
          const payload = Buffer.alloc(size, 0x5a);
          expectShapeAt(path, scene, shape, scene.request({ payload }));
          if (answers) expectShapeBack(path, scene, shape, scene.answer(scene.home, { payload }));
        }
        expectPass(path, wrap(shape(other(scene))));
      });
    }

    for (const { name, shape } of broken) {
      at(`dropped: ${name}`, (scene) => {
        expectDrop(path, wrap(shape(scene.request())), 'MALFORMED');
        expectPass(path, wrap(shape(other(scene))));
      });
    }

    for (const { name, shape } of strange) {
      at(`passes: ${name}`, (scene) => {
        expectPass(path, wrap(shape(scene.request())));
        expectPass(path, wrap(shape(other(scene))));
      });
    }

    at('an error about a packet with extension headers quotes them', (scene) => {
      path.settings({ errorsPerSecond: 1000, natAddresses: [scene.addresses.nat] });
      const shape = extended([extension('hopByHop', 64)]);
      const packet = shape(scene.request({ ttl: 1, payload: Buffer.alloc(100, 3) }));
      const error = icmp({
        source: scene.addresses.service,
        destination: scene.addresses.client,
        type: 3,
        body: packet.subarray(0, 128),
        ttl: 64,
      });
      const link = { fromMac: '02:00:00:00:00:01', toMac: '02:00:00:00:00:c1' };
      expectSent(path, wrap(packet), wrap(error, link));
    });
    continue;
  }

  at('IPv4 options of every length, both ways', (scene) => {
    for (let ipOptions = 0; ipOptions <= 40; ipOptions += 4) {
      for (const size of sizes) {
        const payload = Buffer.alloc(size, 0xa5);
        expectShapeAt(path, scene, whole, scene.request({ ipOptions, payload }));
        const answer = scene.answer(scene.home, { ipOptions, payload });
        if (answers) expectShapeBack(path, scene, whole, answer);
      }
      expectPass(path, frame({ ...other(scene), ipOptions }));
    }
  });

  at('IPv4 options that leave no room for the transport are dropped', (scene) => {
    for (const words of [6, 10, 15]) {
      // As long as it was, with a header that reaches into the transport or beyond.
      const shape: Shape = (spec) =>
        reheader(whole({ ...spec, payload: Buffer.alloc(0) }), (packet) => {
          packet[0] = 0x40 | words;
        });
      const short = Buffer.alloc(24);
      const sent = Buffer.concat([wrap(shape(scene.request())), short]);
      expectDrop(path, sent, 'MALFORMED');
      expectPass(path, Buffer.concat([wrap(shape(other(scene))), short]));
    }
  });

  at('a wrong checksum of the IPv4 header is dropped', (scene) => {
    const header = [0, 4, 8, 20, 36, 40];
    for (const ipOptions of header) {
      for (const place of [1, 4, 10, 11, 8, 19 + ipOptions]) {
        const wrong = (spec: FrameSpec): Buffer => {
          const packet = whole({ ...spec, ipOptions });
          packet[place] = (packet[place] ?? 0) ^ 0x10;
          return wrap(packet, spec);
        };
        // The last address byte of a packet without options is the service's own.
        if (place === 19) continue;
        expectDrop(path, wrong(scene.request()), 'IP_CHECKSUM');
        expectPass(path, wrong(other(scene)));
      }
    }
    if (path.flow(scene.tuple) !== null) throw new Error('a flow began with a broken packet');
  });

  at('a checksum of all ones over a header that sums to zero is right', (scene) => {
    // 0xffff and 0 are the same in one's complement arithmetic (RFC 1624 §3).
    const packet = whole(scene.request());
    const rest = ~packet.readUInt16BE(10) & 0xffff;
    packet.writeUInt16BE((packet.readUInt16BE(4) + 0xffff - rest) % 0xffff, 4);
    const balanced = reheader(packet, () => undefined);
    const sum = balanced.readUInt16BE(10);
    if (sum !== 0 && sum !== 0xffff) throw new Error(`the test’s own arithmetic: ${sum}`);
    for (const check of [0, 0xffff]) {
      const one = Buffer.from(balanced);
      one.writeUInt16BE(check, 10);
      const { verdict } = path.run(wrap(one));
      if (verdict !== 'tx') throw new Error(`verdict ${verdict} with checksum ${check}`);
    }
  });

  if (answers) {
    at('a wrong checksum of an answer’s IPv4 header is dropped', (scene) => {
      expectShapeAt(path, scene, whole);
      for (const ipOptions of [0, 12]) {
        const packet = whole(scene.answer(scene.home, { ipOptions }));
        packet[5] = (packet[5] ?? 0) ^ 1;
        expectDrop(path, wrap(packet), 'IP_CHECKSUM');
      }
    });
  }
}

for (const combination of combinations.filter((one) => one.protocol === 'tcp')) {
  needs.bpf(test)(`${combination.name}: flags that no TCP sends are dropped`, () => {
    const scene = new Scene(path, combination);
    for (const flags of wrongFlags) {
      expectDrop(path, frame(scene.request({ flags })), 'TCP_FLAGS');
      expectPass(path, frame(scene.request({ flags, destination: scene.addresses.other })));
      expectPass(path, frame(scene.request({ flags, destinationPort: 81 })));
    }
    if (path.flow(scene.tuple) !== null) throw new Error('a flow began with a broken packet');
    for (const flags of rightFlags) scene.expectAt(scene.home, scene.request({ flags }));
    if (!combination.forwarding.endsWith('nat')) return;
    scene.expectAt(scene.home, scene.request({ flags: 'S' }));
    for (const flags of wrongFlags) {
      expectDrop(path, frame(scene.answer(scene.home, { flags })), 'TCP_FLAGS');
    }
    for (const flags of rightFlags) {
      expectShapeBack(path, scene, whole, scene.answer(scene.home, { flags }));
    }
  });
}

test.run();
