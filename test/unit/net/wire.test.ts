/** The rtnetlink codecs: real bytes, cut bytes, arbitrary bytes. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import * as wire from '../../../appliance/net/wire.js';
import {
  encodeAttribute,
  encodeMessage,
  NetlinkFormatError,
  NLMSG_DONE,
  NLMSG_ERROR,
  readOutcome,
  splitAttributes,
  splitMessages,
} from '../../../native/ffi/netlink-message.js';

function address(text: string): NonNullable<ReturnType<typeof readAddress>> {
  const parsed = readAddress(text);
  if (parsed === null) throw new Error(`${text} is test data`);
  return parsed;
}

function header(size: number, fields: Readonly<Record<number, number>>): Buffer {
  const bytes = Buffer.alloc(size);
  for (const [offset, value] of Object.entries(fields)) bytes.writeUInt8(value, Number(offset));
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

test('a link', () => {
  // struct ifinfomsg: Ethernet, index 7, up and running; name, MAC, MTU, kind.
  const payload = Buffer.concat([
    header(16, { 2: 1, 4: 7, 8: 0x41 }),
    encodeAttribute(3, Buffer.from('eth0\0')),
    encodeAttribute(1, Buffer.from('020000000001', 'hex')),
    encodeAttribute(4, u32(1500)),
    encodeAttribute(18, encodeAttribute(1, Buffer.from('veth\0'))),
  ]);
  assert.equal(wire.decodeLink(payload), {
    index: 7,
    name: 'eth0',
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    mtu: 1500,
    up: true,
    running: true,
    loopback: false,
    ethernet: true,
    kind: 'veth',
    master: 0,
    vlan: null,
    bond: null,
  });
});

/** Index 7, up, of this kind with this data, and more attributes of the link. */
function device(kind: string, data: readonly Buffer[], ...more: readonly Buffer[]): Buffer {
  const info = [
    encodeAttribute(1, Buffer.from(`${kind}\0`)),
    encodeAttribute(2, Buffer.concat(data)),
  ];
  return Buffer.concat([
    header(16, { 2: 1, 4: 7, 8: 0x41 }),
    ...more,
    encodeAttribute(18, Buffer.concat(info)),
  ]);
}

test('a VLAN device: the device below, identifier and kind of tag', () => {
  const id = encodeAttribute(1, Buffer.from([0x64, 0]));
  const service = encodeAttribute(5, Buffer.from([0x88, 0xa8]));
  const below = encodeAttribute(5, u32(3));
  assert.equal(wire.decodeLink(device('vlan', [id], below))?.vlan, {
    parent: 3,
    id: 100,
    protocol: 0x8100,
  });
  assert.equal(wire.decodeLink(device('vlan', [id, service], below))?.vlan, {
    parent: 3,
    id: 100,
    protocol: 0x88a8,
  });
  // IFLA_LINK_NETNSID: the index is one of another namespace, where 3 is somebody else.
  const elsewhere = encodeAttribute(37, u32(0));
  assert.is(wire.decodeLink(device('vlan', [id], below, elsewhere))?.vlan?.parent, null);
  assert.throws(
    () => wire.decodeLink(device('vlan', [service], below)),
    (error: unknown) => error instanceof NetlinkFormatError,
  );
});

test('IFLA_LINK means something else for other kinds', () => {
  assert.is(wire.decodeLink(device('veth', [], encodeAttribute(5, u32(3))))?.vlan, null);
});

test('a bond, and a port of it', () => {
  const data = [encodeAttribute(1, Uint8Array.of(4)), encodeAttribute(14, Uint8Array.of(1))];
  assert.equal(wire.decodeLink(device('bond', data))?.bond, { mode: 4, hashPolicy: 1 });
  const port = wire.decodeLink(device('veth', [], encodeAttribute(10, u32(9))));
  assert.equal([port?.master, port?.bond], [9, null]);
});

test('an address of a point-to-point link is the local one', () => {
  const payload = Buffer.concat([
    header(8, { 0: 2, 1: 32, 4: 7 }),
    encodeAttribute(1, address('10.0.0.2').bytes),
    encodeAttribute(2, address('10.0.0.1').bytes),
    encodeAttribute(11, Uint8Array.of(0x57)),
  ]);
  const decoded = wire.decodeAddress(payload);
  assert.is(decoded?.address, '10.0.0.1');
  assert.is(decoded?.prefixLength, 32);
  assert.is(decoded?.origin, 0x57);
});

test('a route with several next hops gives the first', () => {
  const hop = (index: number, gateway: string): Buffer => {
    const attribute = encodeAttribute(5, address(gateway).bytes);
    return Buffer.concat([header(8, { 0: 8 + attribute.length, 4: index }), attribute]);
  };
  const payload = Buffer.concat([
    header(12, { 0: 2, 1: 24, 7: 1 }),
    encodeAttribute(1, address('10.9.0.0').bytes),
    encodeAttribute(9, Buffer.concat([hop(3, '10.0.0.254'), hop(4, '10.0.1.254')])),
  ]);
  const route = wire.decodeRoute(payload);
  assert.is(route?.interfaceIndex, 3);
  assert.is(route?.gateway, '10.0.0.254');
});

test('an IPv4 route through an IPv6 router (RTA_VIA)', () => {
  const via = Buffer.concat([Buffer.from([10, 0]), address('fe80::1').bytes]);
  const payload = Buffer.concat([
    header(12, { 0: 2, 7: 1 }),
    encodeAttribute(4, u32(3)),
    encodeAttribute(18, via),
  ]);
  assert.is(wire.decodeRoute(payload)?.gateway, 'fe80::1');
});

test('a neighbour, and what is none of ours', () => {
  const attributes = [
    encodeAttribute(1, address('10.0.0.9').bytes),
    encodeAttribute(2, Buffer.from('020000000009', 'hex')),
  ];
  const bytes = (fields: Readonly<Record<number, number>>): Buffer =>
    Buffer.concat([header(12, { 0: 2, 4: 7, 8: 4, ...fields }), ...attributes]);
  assert.equal(wire.decodeNeighbour(bytes({})), {
    interfaceIndex: 7,
    address: '10.0.0.9',
    state: 'stale',
    mac: Uint8Array.of(2, 0, 0, 0, 0, 9),
  });
  assert.is(wire.decodeNeighbour(bytes({ 0: 7 })), null, 'AF_BRIDGE');
  assert.is(wire.decodeNeighbour(bytes({ 10: 8 })), null, 'NTF_PROXY');
});

test('our own addresses are marked, single, and not preferred in IPv6', () => {
  const v6 = wire.encodeOwnAddress(address('fd00::80'), 7, 0x57);
  const decoded = wire.decodeAddress(v6);
  assert.is(decoded?.address, 'fd00::80');
  assert.is(decoded?.prefixLength, 128);
  assert.is(decoded?.origin, 0x57);
  const attributes = new Map(splitAttributes(v6, 8).map(({ type, value }) => [type, value]));
  assert.is(attributes.get(8)?.readUInt32LE(0), 0x202, 'IFA_F_NODAD and IFA_F_NOPREFIXROUTE');
  assert.is(attributes.get(6)?.readUInt32LE(0), 0, 'preferred for 0 s');
  assert.is(attributes.get(6)?.readUInt32LE(4), 0xffffffff, 'valid for ever');
  assert.not(
    splitAttributes(wire.encodeOwnAddress(address('10.0.0.80'), 7, 0x57), 8).some(
      ({ type }) => type === 6,
    ),
  );
});

test('an error brings the kernel’s own sentence', () => {
  const payload = Buffer.concat([
    Buffer.from([0xea, 0xff, 0xff, 0xff]),
    encodeMessage(20, 5, 1, Buffer.alloc(0)),
    encodeAttribute(1, Buffer.from('Invalid prefix length\0')),
  ]);
  const [capped] = splitMessages(encodeMessage(NLMSG_ERROR, 0x300, 1, payload));
  if (capped === undefined) throw new Error('no message');
  assert.equal(readOutcome(capped), { errno: 22, detail: 'Invalid prefix length' });
  const [done] = splitMessages(encodeMessage(NLMSG_DONE, 2, 1, Buffer.alloc(4)));
  if (done === undefined) throw new Error('no message');
  assert.equal(readOutcome(done), { errno: 0, detail: undefined });
});

test('several messages in a datagram', () => {
  const datagram = Buffer.concat([
    encodeMessage(16, 0, 1, Buffer.from('abc')),
    encodeMessage(17, 0, 2, Buffer.from('defgh')),
  ]);
  const seen = splitMessages(datagram).map(({ type, payload }) => [type, payload.toString()]);
  assert.equal(seen, [
    [16, 'abc'],
    [17, 'defgh'],
  ]);
});

/** Runs a decoder; the only failure it may have is the one that it documents. */
function decodes(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    assert.instance(error, NetlinkFormatError, String(error));
  }
}

const decoders = [wire.decodeLink, wire.decodeAddress, wire.decodeRoute, wire.decodeNeighbour];

test('arbitrary bytes never do worse than a format error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const buffer = Buffer.from(bytes);
      decodes(() => splitMessages(buffer).map(readOutcome));
      for (const decode of decoders) {
        decodes(() => decode(buffer));
        // With a family that is ours, so that the attributes are reached.
        if (buffer.length > 0) {
          buffer[0] = decode === wire.decodeLink ? 0 : 2;
          decodes(() => decode(buffer));
        }
      }
    }),
    { numRuns: 5000 },
  );
});

test('a message cut anywhere is refused or shorter, never read beyond its end', () => {
  const whole = wire.encodeOwnAddress(address('fd00::80'), 7, 0x57);
  for (let length = 0; length < whole.length; length += 1) {
    decodes(() => wire.decodeAddress(Buffer.from(whole.subarray(0, length))));
  }
});

test.run();
