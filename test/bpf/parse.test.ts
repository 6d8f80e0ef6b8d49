/**
 * What is not balanced: fragments, malformed packets, and all that belongs to the kernel, which
 * must get it with every byte as it came. Run with BPF_PROG_TEST_RUN.
 */
import { suite } from 'uvu';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { addressBytes, frame, ipv6, macBytes, onesSum, wrap, type FrameSpec } from './packets.js';
import { combinations, expectPass, Scene } from './scene.js';

const test = suite('bpf parse');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const NETWORK = 14;

/** Changes bytes of an IPv4 header and makes its checksum right again. */
function reheader(bytes: Buffer, change: (header: Buffer) => void): Buffer {
  const header = bytes.subarray(NETWORK, NETWORK + 20);
  change(header);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(~onesSum(header) & 0xffff, 10);
  return bytes;
}

/** A frame and how it is broken. */
interface Broken {
  readonly name: string;
  readonly make: (spec: FrameSpec) => Buffer;
}

const brokenIpv4: readonly Broken[] = [
  {
    name: 'header length below 5 words',
    make: (spec) => reheader(frame(spec), (header) => (header[0] = 0x44)),
  },
  {
    name: 'version 5',
    make: (spec) => reheader(frame(spec), (header) => (header[0] = 0x55)),
  },
  {
    name: 'total length below the header’s',
    make: (spec) => reheader(frame(spec), (header) => header.writeUInt16BE(19, 2)),
  },
  {
    name: 'total length beyond the frame',
    make: (spec) =>
      reheader(frame(spec), (header) => header.writeUInt16BE(frame(spec).length - 13, 2)),
  },
  {
    name: 'header longer than the packet',
    make: (spec) =>
      reheader(frame({ ...spec, payload: new Uint8Array(0) }), (header) => {
        header[0] = 0x4f;
        header.writeUInt16BE(40, 2);
      }),
  },
];

const brokenIpv6: readonly Broken[] = [
  {
    name: 'version 4',
    make: (spec) => {
      const bytes = frame(spec);
      bytes[NETWORK] = 0x40;
      return bytes;
    },
  },
  {
    name: 'payload length beyond the frame',
    make: (spec) => {
      const bytes = frame(spec);
      bytes.writeUInt16BE(bytes.length - NETWORK - 40 + 1, NETWORK + 4);
      return bytes;
    },
  },
];

function transportAt(spec: FrameSpec): number {
  return NETWORK + (spec.source.includes(':') ? 40 : 20);
}

/** Cuts the packet, with its length fields in order, after so many bytes of transport header. */
function cut(spec: FrameSpec, bytes: number): Buffer {
  const whole = frame(spec).subarray(0, transportAt(spec) + bytes);
  const short = Buffer.from(whole);
  if (spec.source.includes(':')) {
    short.writeUInt16BE(bytes, NETWORK + 4);
    return short;
  }
  return reheader(short, (header) => header.writeUInt16BE(20 + bytes, 2));
}

const brokenTransport: readonly (Broken & { readonly only: 'tcp' | 'udp' | 'both' })[] = [
  { only: 'both', name: 'no transport header at all', make: (spec) => cut(spec, 0) },
  { only: 'both', name: 'ports only', make: (spec) => cut(spec, 4) },
  { only: 'tcp', name: '19 bytes of TCP', make: (spec) => cut(spec, 19) },
  { only: 'udp', name: '7 bytes of UDP', make: (spec) => cut(spec, 7) },
  {
    only: 'tcp',
    name: 'TCP data offset below 5',
    make: (spec) => {
      const bytes = frame(spec);
      bytes[transportAt(spec) + 12] = 0x40;
      return bytes;
    },
  },
  {
    only: 'tcp',
    name: 'TCP data offset beyond the packet',
    make: (spec) => {
      const bytes = frame({ ...spec, payload: new Uint8Array(0) });
      bytes[transportAt(spec) + 12] = 0x60;
      return bytes;
    },
  },
  {
    only: 'udp',
    name: 'UDP length below 8',
    make: (spec) => {
      const bytes = frame(spec);
      bytes.writeUInt16BE(7, transportAt(spec) + 4);
      return bytes;
    },
  },
  {
    only: 'udp',
    name: 'UDP length beyond the packet',
    make: (spec) => {
      const bytes = frame(spec);
      bytes.writeUInt16BE(bytes.readUInt16BE(transportAt(spec) + 4) + 1, transportAt(spec) + 4);
      return bytes;
    },
  },
  {
    only: 'both',
    name: 'transport in the frame but not in the packet',
    make: (spec) => Buffer.concat([cut(spec, 4), Buffer.alloc(40)]),
  },
];

for (const combination of combinations.filter((one) => one.forwarding === 'dsr')) {
  const ip = combination.family === 'ipv4' ? brokenIpv4 : brokenIpv6;
  const transport = brokenTransport.filter(
    (one) => one.only === 'both' || one.only === combination.protocol,
  );
  for (const broken of [...ip, ...transport]) {
    needs.bpf(test)(`${combination.name}: ${broken.name}`, () => {
      const scene = new Scene(path, combination);
      scene.expectDrop('MALFORMED', broken.make(scene.request()));
      // The same for anybody else is not ours to judge.
      expectPass(path, broken.make(scene.request({ destination: scene.addresses.other })));
    });
  }
}

const tcp4 = combinations[0];
const tcp6 = combinations.find((one) => one.family === 'ipv6');

/** Frames that are the kernel's even though service tables are full of their addresses. */
const kernels: readonly {
  readonly name: string;
  readonly make: (v4: Scene, v6: Scene) => Buffer;
}[] = [
  {
    name: 'ARP',
    make: () =>
      Buffer.concat([
        macBytes('ff:ff:ff:ff:ff:ff'),
        macBytes('02:00:00:00:00:c1'),
        Buffer.from('0806000108000604000102000000000000c1c6336407000000000000', 'hex'),
        Buffer.alloc(22),
      ]),
  },
  { name: 'a bare Ethernet header', make: (v4) => frame(v4.request()).subarray(0, 14) },
  { name: 'half an IPv4 header', make: (v4) => frame(v4.request()).subarray(0, 30) },
  { name: 'half an IPv6 header', make: (_, v6) => frame(v6.request()).subarray(0, 50) },
  {
    name: 'a frame to a group address',
    make: (v4) => frame(v4.request({ toMac: '01:00:5e:00:00:01' })),
  },
  {
    name: 'a broadcast frame',
    make: (v4) => frame(v4.request({ toMac: 'ff:ff:ff:ff:ff:ff' })),
  },
  {
    name: 'another transport (SCTP) for a service address',
    make: (v4) => reheader(frame(v4.request()), (header) => (header[9] = 132)),
  },
  {
    name: 'a fragment of another transport for a service address',
    make: (v4) =>
      reheader(frame(v4.request()), (header) => {
        header[9] = 132;
        header.writeUInt16BE(0x2000, 6);
      }),
  },
  {
    name: 'an IPv6 packet whose addresses pretend to be IPv4',
    make: (v4) => {
      const source = Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff, 198, 51, 100, 7])]);
      const destination = Buffer.concat([
        Buffer.alloc(10),
        Buffer.from([0xff, 0xff]),
        addressBytes(v4.addresses.service),
      ]);
      const rest = frame(v4.request()).subarray(34);
      return wrap(ipv6({ source, destination, next: 6, hopLimit: 9 }, rest));
    },
  },
  {
    name: 'a packet of the unit’s own protocols (VRRP)',
    make: (v4) => reheader(frame(v4.request()), (header) => (header[9] = 112)),
  },
];

for (const one of kernels) {
  needs.bpf(test)(`passes: ${one.name}`, () => {
    if (tcp4 === undefined || tcp6 === undefined) throw new Error('no combinations');
    const v6 = new Scene(path, tcp6);
    const v4 = new Scene(path, tcp4);
    expectPass(path, one.make(v4, v6));
  });
}

test.run();
