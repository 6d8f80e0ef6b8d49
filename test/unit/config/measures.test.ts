/** Durations, sizes, rates, addresses, words and paths: the small pure parsers. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  canonicalAddress,
  formatEndpoint,
  memberKey,
  parseAddress,
  parseEndpoint,
  parsePrefix,
} from '../../../appliance/config/addresses.js';
import {
  canonicalJson,
  NotJsonError,
  sha256,
  toJson,
} from '../../../appliance/config/canonical.js';
import { formatPath, parsePath } from '../../../appliance/config/errors.js';
import type { Parsed } from '../../../appliance/config/parsed.js';
import {
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseRate,
  parseSize,
} from '../../../appliance/config/units-of-measure.js';
import { alternatives, distance, nearest, quote } from '../../../appliance/config/words.js';

function value<T>(result: Parsed<T>): T | string {
  return result.ok ? result.value : `refused: ${result.message}`;
}

const measures = suite('durations, sizes and rates');

measures('durations become milliseconds', () => {
  const table: [string, number][] = [
    ['0s', 0],
    ['1ms', 1],
    ['500ms', 500],
    ['2s', 2_000],
    ['0.5s', 500],
    ['1.005s', 1_005],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['1d2h3m4s5ms', 93_784_005],
    ['365d', 31_536_000_000],
  ];
  for (const [text, expected] of table) assert.is(value(parseDuration(text)), expected, text);
});

measures('what is no duration is refused with the way to write one', () => {
  for (const text of [
    '',
    '5',
    's',
    '-1s',
    '+1s',
    '1 s',
    ' 1s',
    '1S',
    '1e3s',
    '01s',
    '.5s',
    '1.s',
    '1s1s',
    '1s1m',
    '1w',
    '1ns',
    '99999999999999999d',
    '٣s',
  ]) {
    const result = parseDuration(text);
    assert.not.ok(result.ok, `${JSON.stringify(text)} must be refused`);
    if (!result.ok) assert.match(result.message, /such as 500ms|from large to small/);
  }
  assert.match(String(value(parseDuration('0.1ms'))), /not a whole number of milliseconds/);
});

measures('formatDuration and parseDuration undo each other', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 45 }), (milliseconds) => {
      assert.is(value(parseDuration(formatDuration(milliseconds))), milliseconds);
    }),
  );
});

measures('sizes become bytes, and come back', () => {
  const table: [string, number][] = [
    ['0B', 0],
    ['512B', 512],
    ['1kB', 1_000],
    ['1KiB', 1_024],
    ['1.5KiB', 1_536],
    ['10MiB', 10_485_760],
    ['2TB', 2e12],
  ];
  for (const [text, expected] of table) assert.is(value(parseSize(text)), expected, text);
  for (const text of ['', '1', '1K', '1kb', '1 MB', '0.1B', '1.0001KiB']) {
    assert.not.ok(parseSize(text).ok, `${text} must be refused`);
  }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
      assert.is(value(parseSize(formatSize(bytes))), bytes);
    }),
  );
});

measures('rates become a count per milliseconds, and come back', () => {
  assert.equal(value(parseRate('100/s')), { count: 100, per: 1_000 });
  assert.equal(value(parseRate('6000/m')), { count: 6_000, per: 60_000 });
  assert.equal(value(parseRate('1/h')), { count: 1, per: 3_600_000 });
  for (const text of ['100', '0/s', '1.5/s', '1/d', '1/', '/s', '1 / s']) {
    assert.not.ok(parseRate(text).ok, `${text} must be refused`);
  }
  for (const text of ['100/s', '1/m', '7/h']) {
    const rate = parseRate(text);
    assert.ok(rate.ok);
    if (rate.ok) assert.is(formatRate(rate.value), text);
  }
});

measures.run();

const addresses = suite('addresses');

addresses('IPv6 is written as RFC 5952 asks', () => {
  // Sections 4.1 to 4.3 and the examples of section 1.
  const table: [string, string][] = [
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::AbCd', '2001:db8::abcd'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['1::2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['10.0.0.1', '10.0.0.1'],
  ];
  for (const [text, expected] of table) {
    const result = parseAddress(text);
    assert.is(result.ok ? result.value.text : result.message, expected, text);
  }
});

addresses('what is no address is refused', () => {
  const wrong = [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '1.2.3.4 ',
    '0x1.2.3.4',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    'g::',
    '::1.2.3',
    '1.2.3.4::',
    '::ffff:1.2.3.4',
    '::ffff:0102:0304',
    'fe80::1%1',
    '[::1]',
    '10.0.0.0/8',
    'localhost',
    '1:2:3:4:5:6:7::8',
    '1::2:3:4:5:6:7:8',
  ];
  for (const text of wrong) {
    assert.not.ok(parseAddress(text).ok, `${JSON.stringify(text)} must be refused`);
  }
});

addresses('writing and reading give the same bytes, and one text', () => {
  const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
    minLength: 8,
    maxLength: 8,
  });
  fc.assert(
    fc.property(groups, (parts) => {
      const long = parts.map((part) => part.toString(16).padStart(4, '0').toUpperCase()).join(':');
      const first = parseAddress(long);
      fc.pre(first.ok);
      if (!first.ok) return;
      const again = parseAddress(first.value.text);
      assert.ok(again.ok, first.value.text);
      if (!again.ok) return;
      assert.equal(
        [...again.value.bytes],
        parts.flatMap((part) => [part >> 8, part & 0xff]),
      );
      assert.is(again.value.text, first.value.text);
      assert.not.match(
        first.value.text,
        /(^|:)0[0-9a-f]|[A-F]|:::/,
        'no leading zeros, lower case',
      );
    }),
  );
});

addresses('prefixes, endpoints and member keys', () => {
  const prefix = parsePrefix('FD00::1/64');
  assert.is(prefix.ok && prefix.value.text, 'fd00::1/64');
  for (const text of ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/08', '10.0.0.0/']) {
    assert.not.ok(parsePrefix(text).ok, `${text} must be refused`);
  }
  assert.is(memberKey({ address: '10.0.0.1', port: 80 }), '10.0.0.1:80');
  assert.is(memberKey({ address: 'fd00::1' }), 'fd00::1');
  assert.equal(value(parseEndpoint('FD00::1')), { address: 'fd00::1', port: 0 });
  assert.equal(value(parseEndpoint('[FD00::1]:80')), { address: 'fd00::1', port: 80 });
  assert.equal(value(parseEndpoint('10.0.0.1')), { address: '10.0.0.1', port: 0 });
  assert.equal(value(parseEndpoint('10.0.0.1:80')), { address: '10.0.0.1', port: 80 });
  assert.equal(
    value(parseEndpoint('fd00::1')),
    { address: 'fd00::1', port: 0 },
    'an IPv6 address alone',
  );
  for (const text of [
    '10.0.0.1:65536',
    '10.0.0.1:080',
    '[10.0.0.1]:80',
    'web:80',
    ':80',
    '',
    '[fd00::1',
    '10.0.0.1:',
  ]) {
    assert.not.ok(parseEndpoint(text).ok, `${text} must be refused`);
  }
  assert.is(formatEndpoint({ address: 'fd00::1', port: 1 }), '[fd00::1]:1');
  assert.is(canonicalAddress('not one'), 'not one');
});

addresses.run();

const words = suite('words and paths');

words('distance counts insertions, deletions, substitutions and swaps', () => {
  const table: [string, string, number][] = [
    ['', '', 0],
    ['', 'abc', 3],
    ['port', 'prot', 1],
    ['pool', 'pools', 1],
    ['kitten', 'sitting', 3],
    ['weight', 'wieght', 1],
    ['ca', 'abc', 3],
  ];
  for (const [from, to, expected] of table)
    assert.is(distance(from, to), expected, `${from} → ${to}`);
});

words(
  'distance is symmetric, zero only for equal words, and never more than the longer word',
  () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        const far = distance(a, b);
        assert.is(far, distance(b, a));
        assert.is(far === 0, a === b);
        assert.ok(far <= Math.max(a.length, b.length) && far >= Math.abs(a.length - b.length));
      }),
    );
  },
);

words('the nearest word is near', () => {
  assert.is(nearest('servics', ['pools', 'services', 'pair']), 'services');
  assert.is(nearest('ROUND_ROBIN', ['random', 'round-robin']), 'round-robin');
  assert.is(nearest('bananas', ['pools', 'services']), undefined);
  assert.is(nearest('', ['pools']), undefined);
});

words('quoted text is safe on a terminal', () => {
  assert.is(quote('a"b'), '"a\\"b"');
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      assert.not.match(quote(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
  );
  assert.is(alternatives(['a', 'b', 'c']), 'a, b or c');
});

words('paths are written and read back', () => {
  assert.is(formatPath(['pools', 'web', 'members', 2, 'port']), 'pools.web.members[2].port');
  assert.is(formatPath(['certificates', 'shop.example']), 'certificates["shop.example"]');
  const step = fc.oneof(fc.nat(), fc.string({ maxLength: 20 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 6 }), (path) => {
      assert.equal(parsePath(formatPath(path)), path);
    }),
  );
  for (const text of ['a..b', '[', 'a[x]', 'a b']) assert.is(parsePath(text), null, text);
});

words.run();

const canonical = suite('canonical JSON');

canonical('keys are sorted, and equal values have equal text', () => {
  assert.is(
    canonicalJson({ b: [1, { d: null, c: 'é' }], a: -0, x: undefined }),
    '{"a":0,"b":[1,{"c":"é","d":null}]}',
  );
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (json) => {
      const text = tryCanonical(json);
      if (text === null) return;
      assert.is(canonicalJson(JSON.parse(text)), text);
      assert.is(canonicalJson(toJson(json)), text);
    }),
  );
  assert.is(sha256(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

canonical('what is no JSON is refused with its place', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 100; level++) deep = [deep];
  const cases: [unknown, string][] = [
    [{ a: [1, NaN] }, 'a[1]'],
    [{ a: () => 1 }, 'a'],
    [{ a: 1n }, 'a'],
    [{ a: new Date(0) }, 'a'],
    [{ a: 'x\ud800' }, 'a'],
    [JSON.parse('{"__proto__":1}'), '__proto__'],
    [deep, '[0]'],
  ];
  for (const [value, path] of cases) {
    try {
      canonicalJson(value);
      assert.unreachable(`${path} must be refused`);
    } catch (error) {
      assert.instance(error, NotJsonError);
      if (error instanceof NotJsonError)
        assert.ok(formatPath(error.path).startsWith(path), formatPath(error.path));
    }
  }
});

function tryCanonical(value: unknown): string | null {
  try {
    return canonicalJson(value);
  } catch (error) {
    if (error instanceof NotJsonError) return null;
    throw error;
  }
}

canonical.run();
