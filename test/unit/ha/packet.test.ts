/** VRRP advertisements on the wire, and why some are not believed. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  vrrpGroups,
  type Advertisement,
  type ChecksumForm,
} from '../../../appliance/ha/vrrp/packet.js';
import type { Rejection } from '../../../appliance/ha/vrrp/rejections.js';
import { onesSum } from '../../bpf/packets.js';

const test = suite('VRRP packets');

function address(text: string): Uint8Array {
  const read = readAddress(text);
  if (read === null) throw new Error(`${text} is no address`);
  return read.bytes;
}

const ends4 = { source: address('10.0.0.1'), destination: vrrpGroups[4] };
const ends6 = { source: address('fe80::1'), destination: vrrpGroups[6] };
const ipv4: Advertisement = {
  version: 3,
  vrid: 51,
  priority: 100,
  interval: 1000,
  addresses: [address('10.0.0.80')],
  password: null,
};
const ipv6: Advertisement = {
  version: 3,
  vrid: 7,
  priority: 200,
  interval: 100,
  addresses: [address('fe80::a'), address('2001:db8::a')],
  password: null,
};

/** Added up by hand. */
const vectors: readonly {
  name: string;
  advertisement: Advertisement;
  form?: ChecksumForm;
  ends: typeof ends4;
  hex: string;
}[] = [
  {
    name: 'version 3, IPv4, the message alone summed',
    advertisement: ipv4,
    ends: ends4,
    hex: '31336401 0064 6017 0a000050',
  },
  {
    name: 'version 3, IPv4, the pseudo-header summed too',
    advertisement: ipv4,
    form: 'pseudo-header',
    ends: ends4,
    hex: '31336401 0064 7587 0a000050',
  },
  {
    name: 'version 3, IPv6',
    advertisement: ipv6,
    ends: ends6,
    hex: '3107c802 000a dc6e fe80000000000000000000000000000a 20010db800000000000000000000000a',
  },
  {
    name: 'version 2 without authentication',
    advertisement: { ...ipv4, version: 2 },
    ends: ends4,
    hex: '21336401 0001 707a 0a000050 0000000000000000',
  },
  {
    name: 'version 2 with a password',
    advertisement: { ...ipv4, version: 2, password: Buffer.from('secret') },
    ends: ends4,
    hex: '21336401 0101 332e 0a000050 7365637265740000',
  },
];

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** Comparable: bytes as plain arrays. */
function plain(read: Advertisement | Rejection): unknown {
  if (typeof read === 'string') return read;
  return {
    ...read,
    addresses: read.addresses.map((bytes) => [...bytes]),
    password: read.password === null ? null : [...read.password],
  };
}

for (const { name, advertisement, form, ends, hex } of vectors) {
  test(`${name}: written and read`, () => {
    const expected = bytesOf(hex);
    const written = encodeAdvertisement(advertisement, ends, form);
    assert.is(written.toString('hex'), expected.toString('hex'));
    assert.equal(plain(decodeAdvertisement(expected, ends)), plain(advertisement));
  });
}

/** A message with bytes changed and its sum made right again, so that the sum is not what is wrong. */
function changed(change: (message: Buffer) => void, of = ipv4, ends = ends4): Buffer {
  const message = encodeAdvertisement(of, ends);
  change(message);
  message.writeUInt16BE(0, 6);
  message.writeUInt16BE(~onesSum(message) & 0xffff, 6);
  return message;
}

const version2: Advertisement = { ...ipv4, version: 2 };
const refused: readonly [Rejection, string, Buffer][] = [
  ['too-short', 'nothing', Buffer.alloc(0)],
  ['too-short', 'seven bytes', encodeAdvertisement(ipv4, ends4).subarray(0, 7)],
  ['version', 'version 1', changed((m) => m.writeUInt8(0x11, 0))],
  ['version', 'version 4', changed((m) => m.writeUInt8(0x41, 0))],
  ['type', 'type 2', changed((m) => m.writeUInt8(0x32, 0))],
  ['count', 'no address', changed((m) => m.writeUInt8(0, 3)).subarray(0, 8)],
  ['length', 'an address less than counted', changed((m) => m.writeUInt8(2, 3))],
  [
    'length',
    'a byte behind the addresses',
    Buffer.concat([encodeAdvertisement(ipv4, ends4), Buffer.of(0)]),
  ],
  [
    'length',
    'version 2 without its authentication data',
    encodeAdvertisement(version2, ends4).subarray(0, 12),
  ],
  ['vrid-zero', 'id 0', changed((m) => m.writeUInt8(0, 1))],
  ['interval-zero', 'version 3, interval 0', changed((m) => m.writeUInt16BE(0, 4))],
  ['interval-zero', 'reserved bits are no interval', changed((m) => m.writeUInt16BE(0xf000, 4))],
  ['interval-zero', 'version 2, interval 0', changed((m) => m.writeUInt8(0, 5), version2)],
  ['authentication', 'version 2, type 2', changed((m) => m.writeUInt8(2, 4), version2)],
];

for (const [reason, what, message] of refused) {
  test(`refused for ${reason}: ${what}`, () => {
    assert.is(decodeAdvertisement(message, ends4), reason);
  });
}

test('refused for family: version 2 over IPv6', () => {
  const message = Buffer.concat([encodeAdvertisement(ipv6, ends6), Buffer.alloc(8)]);
  message.writeUInt8(0x21, 0);
  assert.is(decodeAdvertisement(message, ends6), 'family');
});

test('refused for checksum: version 2 over IPv4 summed with a pseudo-header', () => {
  const message = encodeAdvertisement(version2, ends4);
  message.writeUInt16BE(message.readUInt16BE(6) ^ 0x0101, 6);
  assert.is(decodeAdvertisement(message, ends4), 'checksum');
});

test('the sum of IPv6 covers whom it is from and to', () => {
  const message = encodeAdvertisement(ipv6, ends6);
  const other = { ...ends6, source: address('fe80::2') };
  assert.is(decodeAdvertisement(message, other), 'checksum');
});

test('the reserved bits of version 3 and authentication data of type 0 are ignored', () => {
  const reserved = changed((m) => m.writeUInt8(0xf0, 4));
  assert.equal(plain(decodeAdvertisement(reserved, ends4)), plain(ipv4));
  const data = changed((m) => m.writeUInt8(7, 15), version2);
  assert.equal(plain(decodeAdvertisement(data, ends4)), plain(version2));
});

const octets = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });

const any = fc
  .record({
    family: fc.constantFrom(4, 6),
    two: fc.boolean(),
    form: fc.constantFrom<ChecksumForm>('message', 'pseudo-header'),
    vrid: fc.integer({ min: 1, max: 255 }),
    priority: fc.integer({ min: 0, max: 255 }),
    centiseconds: fc.integer({ min: 1, max: 4095 }),
    seconds: fc.integer({ min: 1, max: 255 }),
    count: fc.integer({ min: 1, max: 255 }),
    fill: octets(255 * 16 + 32),
    password: fc.option(fc.uint8Array({ min: 1, maxLength: 8 })),
  })
  .map((a) => {
    const size = a.family === 4 ? 4 : 16;
    const version = a.two && a.family === 4 ? 2 : 3;
    const part = (index: number): Uint8Array => a.fill.subarray(index * size, (index + 1) * size);
    const advertisement: Advertisement = {
      version,
      vrid: a.vrid,
      priority: a.priority,
      interval: version === 2 ? a.seconds * 1000 : a.centiseconds * 10,
      addresses: Array.from({ length: a.count }, (_, index) => part(index)),
      password: version === 2 ? a.password : null,
    };
    return { advertisement, form: a.form, ends: { source: part(255), destination: part(256) } };
  });

test('whatever is written is read as it was', () => {
  fc.assert(
    fc.property(any, ({ advertisement, form, ends }) => {
      const read = decodeAdvertisement(encodeAdvertisement(advertisement, ends, form), ends);
      assert.equal(plain(read), plain(advertisement));
    }),
  );
});

test('no part of a message is a message, and none with a bit turned is the same one', () => {
  fc.assert(
    fc.property(any, fc.nat(), fc.nat(), ({ advertisement, form }, cut, bit) => {
      // Over random addresses a turned bit could, rarely, make one form's sum of the other's.
      const ends = advertisement.addresses[0]?.length === 4 ? ends4 : ends6;
      const message = encodeAdvertisement(advertisement, ends, form);
      const part = decodeAdvertisement(message.subarray(0, cut % message.length), ends);
      assert.type(part, 'string');
      const at = bit % (message.length * 8);
      message[at >> 3] = (message[at >> 3] ?? 0) ^ (1 << (at & 7));
      assert.type(decodeAdvertisement(message, ends), 'string');
    }),
  );
});

test('what has no place in a message is a mistake of the caller', () => {
  const wrong: readonly Partial<Advertisement>[] = [
    { vrid: 0 },
    { vrid: 256 },
    { priority: 256 },
    { interval: 5 },
    { interval: 40_960 },
    { addresses: [] },
    { addresses: [address('2001:db8::1')] },
    { password: Buffer.from('x') },
    { version: 2, interval: 500 },
    { version: 2, password: Buffer.from('nine byte') },
  ];
  for (const part of wrong) {
    assert.throws(
      () => encodeAdvertisement({ ...ipv4, ...part }, ends4),
      (error: unknown) => error instanceof RangeError,
      JSON.stringify(part),
    );
  }
});

test.run();
