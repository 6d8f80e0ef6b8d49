/** Numbers, times, colours and tables, at their edges. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseDuration } from '../../../appliance/cli/arguments.js';
import { speaksUtf8 } from '../../../appliance/cli/context.js';
import {
  bitsPerSecond,
  clean,
  duration,
  endpoint,
  paint,
  quantity,
  readable,
  state,
  unpainted,
} from '../../../appliance/cli/format.js';
import { table, type Column } from '../../../appliance/cli/table.js';

const test = suite('cli: format');
const plain = { colour: false, unicode: true };

test('quantities have three digits and a prefix', () => {
  for (const [value, expected] of [
    [0, '0'],
    [7, '7'],
    [999, '999'],
    [999.4, '999'],
    [999.6, '1.00k'],
    [1000, '1.00k'],
    [1234, '1.23k'],
    [9994, '9.99k'],
    [9996, '10.0k'],
    [12_345, '12.3k'],
    [99_960, '100k'],
    [123_456, '123k'],
    [999_499, '999k'],
    [999_500, '1.00M'],
    [1e9, '1.00G'],
    [2 ** 53, '9.01P'],
    [0.5, '0.50'],
    [12.34, '12.3'],
    [Number.NaN, '-'],
  ] as const) {
    assert.is(quantity(value), expected, String(value));
  }
  assert.is(bitsPerSecond(0), '0');
  assert.is(bitsPerSecond(25e9), '25.0Gbit/s');
});

test('durations have two units at most', () => {
  for (const [milliseconds, expected] of [
    [-5, '0s'],
    [999, '0s'],
    [1000, '1s'],
    [59_999, '59s'],
    [60_000, '1m00s'],
    [192_000, '3m12s'],
    [3_599_999, '59m59s'],
    [3_600_000, '1h00m'],
    [86_399_999, '23h59m'],
    [86_400_000, '1d00h'],
    [99 * 86_400_000, '99d00h'],
    [100 * 86_400_000, '14w2d'],
  ] as const) {
    assert.is(duration(milliseconds), expected, String(milliseconds));
  }
});

test('times that are typed', () => {
  for (const [text, expected] of [
    ['60s', 60_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['1500ms', 1500],
    ['90', 90_000],
  ] as const) {
    assert.is(parseDuration(text), expected, text);
  }
  for (const text of ['', '0s', '999ms', '25h', '1d', '1.5s', '-5s', '5 s', '60S']) {
    assert.throws(() => parseDuration(text), /1s to 24h/, text);
  }
});

test('states have a word, a shape and a colour', () => {
  assert.equal(
    (['UP', 'DRAINING', 'DOWN', 'DISABLED'] as const).map((word) => state(word).text(plain)),
    ['UP ●', 'DRAINING ◐', 'DOWN ✖', 'DISABLED ○'],
  );
  assert.is(state('DOWN').text({ colour: true, unicode: false }), 'DOWN');
  assert.is(paint({ colour: true, unicode: true }, 'red', 'x'), '\u001b[31mx\u001b[39m');
  assert.is(paint(plain, 'red', 'x'), 'x');
});

test('control characters of every kind are made harmless; letters are not', () => {
  assert.is(clean('a\u001b[2Jb\r\n\t\u0000\u007f\u009b1m\u202ec\u2066d'), 'a?[2Jb??????1m?c?d');
  assert.is(clean('Grüße ● 日本'), 'Grüße ● 日本');
});

test('signs become letters where the terminal knows no others', () => {
  const text = 'weight: 1 → 3, 10×…';
  assert.is(readable(plain, text), text);
  assert.is(readable({ colour: true, unicode: false }, text), 'weight: 1 -> 3, 10x...');
  assert.is(unpainted(`a ${paint({ colour: true, unicode: true }, 'red', 'b')} c`), 'a b c');
});

test('addresses with ports', () => {
  assert.is(endpoint('10.0.0.1', 80), '10.0.0.1:80');
  assert.is(endpoint('2001:db8::1', 80), '[2001:db8::1]:80');
});

test('the locale says whether UTF-8 may be shown', () => {
  for (const [environment, expected] of [
    [{}, false],
    [{ LANG: 'en_US.UTF-8' }, true],
    [{ LANG: 'en_US.utf8' }, true],
    [{ LANG: 'en_US.UTF-8', LC_ALL: 'C' }, false],
    [{ LANG: 'C', LC_CTYPE: 'C.UTF-8' }, true],
    [{ LANG: 'C.UTF-8', LC_ALL: '' }, true],
  ] as const) {
    assert.is(speaksUtf8(environment), expected, JSON.stringify(environment));
  }
});

interface Row {
  readonly name: string;
  readonly why: string;
  readonly count: number;
}
const columns: readonly Column<Row>[] = [
  { title: 'NAME', value: ({ name }) => name, shrinkTo: 6 },
  { title: 'COUNT', align: 'right', value: ({ count }) => String(count), dispensable: 1 },
  { title: 'WHY', value: ({ why }) => why, shrinkTo: 8 },
];
const rows: readonly Row[] = [
  { name: 'short', why: 'because', count: 1 },
  { name: 'quite-a-long-name', why: 'for a reason that needs some words', count: 12_345 },
];

test('a table without a terminal shows everything', () => {
  assert.is(
    table(rows, columns, plain, { width: null }, 'none'),
    'NAME               COUNT  WHY\n' +
      'short                  1  because\n' +
      'quite-a-long-name  12345  for a reason that needs some words\n',
  );
  assert.is(table([], columns, plain, { width: null }, 'none'), 'none\n');
});

test('a table shrinks, then drops columns and says so; no line is ever too wide', () => {
  for (let width = 16; width < 70; width += 1) {
    const text = table(rows, columns, plain, { width }, 'none');
    const lines = text.split('\n').filter((line) => !line.startsWith('(not shown'));
    for (const line of lines) {
      assert.ok(
        [...line].length <= width,
        `${[...line].length} columns at width ${width}: ${line}`,
      );
    }
    assert.match(text, /WHY/);
    assert.is(
      /COUNT/.test(lines[0] ?? ''),
      !/\(not shown at this width: COUNT\)/.test(text),
      `width ${width}`,
    );
  }
  assert.match(table(rows, columns, plain, { width: 30 }, 'none'), /^quite-a-long… /m);
  assert.match(table(rows, columns, plain, { width: 16 }, 'none'), /^quite… .*…$/m);
});

test('columns for --wide: there with it, on a terminal with room, and not in a pipe', () => {
  const more: readonly Column<Row>[] = [
    ...columns,
    { title: 'MORE', value: () => 'm', dispensable: 9, wideOnly: true },
  ];
  const head = (room: { width: number | null; wide?: boolean }): string =>
    table(rows, more, plain, room, 'none').split('\n')[0] ?? '';
  assert.match(head({ width: null, wide: true }), /COUNT.*MORE$/);
  assert.match(head({ width: 20, wide: true }), /COUNT.*MORE$/);
  assert.match(head({ width: 200 }), /COUNT.*MORE$/);
  assert.match(head({ width: 200, wide: false }), /COUNT.*MORE$/);
  assert.not.match(head({ width: null }), /MORE/);
  assert.match(
    table(rows, more, plain, { width: 28, wide: false }, 'none'),
    /\(not shown at this width: MORE; --wide shows all\)\n$/,
  );
});

test('colours do not disturb the alignment', () => {
  const coloured: Column<Row>[] = [
    { title: 'NAME', value: ({ name }) => name, colour: () => 'red' },
    { title: 'WHY', value: ({ why }) => why },
  ];
  const text = table(rows, coloured, { colour: true, unicode: true }, { width: null }, 'none');
  const bare = text
    .split('\u001b')
    .map((part, index) => (index === 0 ? part : part.replace(/^\[\d+m/, '')))
    .join('');
  const without = table(rows, coloured, plain, { width: null }, 'none');
  assert.is(bare, without);
});

test.run();
