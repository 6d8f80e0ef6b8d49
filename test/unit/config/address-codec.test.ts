/** Addresses between text and bytes; the kernel-independent judge of IPv6 text is node's URL parser. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatAddress, readAddress } from '../../../appliance/config/address-codec.js';
import { inPrefix, isLinkLocal } from '../../../appliance/net/prefix.js';

const rows: readonly (readonly [string, string, string])[] = [
  ['10.0.0.9', '0a000009', '10.0.0.9'],
  ['255.255.255.255', 'ffffffff', '255.255.255.255'],
  ['::', '0'.repeat(32), '::'],
  ['::1', `${'0'.repeat(31)}1`, '::1'],
  ['2001:DB8:0:0:0:0:0:1', '20010db8000000000000000000000001', '2001:db8::1'],
  ['2001:db8:0:0:1:0:0:1', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['1::', '00010000000000000000000000000000', '1::'],
  ['::ffff:10.0.0.9', '00000000000000000000ffff0a000009', '::ffff:10.0.0.9'],
  ['64:ff9b::192.0.2.1', '0064ff9b0000000000000000c0000201', '64:ff9b::c000:201'],
];

for (const [text, hex, canonical] of rows) {
  test(`${text} is ${hex} and prints as ${canonical}`, () => {
    const bytes = readAddress(text)?.bytes;
    assert.is(Buffer.from(bytes ?? []).toString('hex'), hex);
    assert.is(formatAddress(Buffer.from(hex, 'hex')), canonical);
  });
}

test('what is no address is null', () => {
  for (const text of ['', '10.0.0', '10.0.0.256', 'fe80::1%eth0', ':::', '1:2:3', 'shop.example']) {
    assert.is(readAddress(text), null, text);
  }
});

test('bytes of another length are a mistake', () => {
  assert.throws(() => formatAddress(Buffer.alloc(6)), /4 or 16 bytes, not 6/);
});

test('any 16 bytes print as another implementation prints them, and parse back', () => {
  const bytes = fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(bytes, (list) => {
      const text = formatAddress(Uint8Array.from(list));
      assert.equal([...(readAddress(text)?.bytes ?? [])], list);
      if (text.startsWith('::ffff:')) return;
      assert.is(new URL(`http://[${text}]/`).hostname, `[${text}]`);
    }),
    { numRuns: 2000 },
  );
});

test('prefixes compare bit by bit', () => {
  const inside = (address: string, prefix: string, length: number): boolean => {
    const [a, p] = [readAddress(address), readAddress(prefix)];
    if (a === null || p === null) throw new Error('test data');
    return inPrefix(a.bytes, p.bytes, length);
  };
  assert.ok(inside('10.0.0.9', '10.0.0.1', 24));
  assert.ok(inside('10.0.0.9', '0.0.0.0', 0));
  assert.ok(inside('10.0.0.127', '10.0.0.1', 25));
  assert.not(inside('10.0.0.128', '10.0.0.1', 25));
  assert.not(inside('10.0.0.9', '10.0.0.8', 32));
  assert.ok(inside('10.0.0.9', '10.0.0.9', 32));
  assert.not(inside('10.0.0.9', 'fd00::1', 0));
  assert.not(inside('10.0.0.9', '10.0.0.9', 33));
});

test('link-local is fe80::/10', () => {
  const linkLocal = (text: string): boolean => {
    const address = readAddress(text);
    return address !== null && isLinkLocal(address);
  };
  assert.equal(['fe80::1', 'febf::1', 'fec0::1', 'fd00::1', '169.254.0.1'].map(linkLocal), [
    true,
    true,
    false,
    false,
    false,
  ]);
});

test.run();
