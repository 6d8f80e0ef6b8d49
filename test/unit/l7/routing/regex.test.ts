/** Regular expressions find what JavaScript's find, in linear time, in bounded memory. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Regex, regexFault } from '../../../../appliance/l7/routing/regex/regex.js';

const test = suite('l7 regular expressions');

const utf8 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf8'));
const finds = (expression: string, text: string): boolean => {
  const bytes = utf8(text);
  return new Regex(expression).test(bytes, 0, bytes.length);
};

/** Octets as characters for RegExp: those of no well-formed UTF-8 become surrogates by themselves. */
function characters(bytes: Uint8Array): string {
  let out = '';
  for (let at = 0; at < bytes.length;) {
    let size = 4;
    for (; size > 0; size -= 1) {
      const text = Buffer.from(bytes.subarray(at, at + size)).toString('utf8');
      const whole = at + size <= bytes.length && !text.includes('\ufffd');
      if (whole && [...text].length === 1) break;
    }
    out +=
      size === 0
        ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0))
        : Buffer.from(bytes.subarray(at, at + size)).toString('utf8');
    at += Math.max(1, size);
  }
  return out;
}

const atom = fc.constantFrom(
  ...['a', 'b', 'A', '1', '_', '/', ' ', 'ä', '€', '😀', '.', '\\d', '\\D', '\\w', '\\W', '\\s'],
  ...['\\S', '[ab]', '[^ab]', '[a-c1]', '[^\\w]', '[\\d_]', '[äö]', '[^ä]', '[à-ü€]', '[\\W\\d]'],
  ...['^', '$', '\\b', '\\B', '\\.', '()', '[]', '[^]'],
);
const quantifier = fc.constantFrom(
  '',
  '',
  '*',
  '+',
  '?',
  '*?',
  '{2}',
  '{0}',
  '{1,2}',
  '{2,}',
  '{0,3}?',
);
const { expression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 5 },
    fc
      .tuple(atom, quantifier)
      .map(([one, often]) => (/^(\^|\$|\\b)$/i.test(one) ? one : one + often)),
    fc.tuple(tie('expression'), tie('expression')).map(([one, other]) => one + other),
    fc.tuple(tie('expression'), tie('expression')).map(([one, other]) => `(?:${one}|${other})`),
    fc.tuple(tie('expression'), quantifier).map(([one, often]) => `(${one})${often}`),
  ),
}));
const pieces = [
  'a',
  'b',
  'c',
  'A',
  'B',
  '1',
  '_',
  '/',
  ' ',
  '-',
  '.',
  '\n',
  'ä',
  'ö',
  'Ä',
  '€',
  '😀',
];
const octets = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...pieces).map((text) => Buffer.from(text)) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          ...[0xe2, 0x82, 0xc3, 0xff, 0xf0, 0xed, 0xa4].map((c) => Buffer.of(c)),
        ),
      },
    ),
    { maxLength: 10 },
  )
  .map((parts) => Uint8Array.from(Buffer.concat(parts)));

test('finds what JavaScript finds, in any octets', () => {
  fc.assert(
    fc.property(
      expression,
      fc.array(octets, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      (text, inputs, fold) => {
        if (regexFault(text) !== null) return;
        const ours = new Regex(fold ? `(?i)${text}` : text);
        // Its own search would begin between the halves of a surrogate pair, too.
        const theirs = new RegExp(`^[^]*?(?:${text})`, fold ? 'isu' : 'su');
        for (const bytes of inputs) {
          const wanted = theirs.test(characters(bytes));
          const seen = ours.test(bytes, 0, bytes.length);
          assert.is(seen, wanted, `${String(theirs)} in ${Buffer.from(bytes).toString('hex')}`);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

const found: readonly (readonly [string, string, boolean])[] = [
  ['^/item/[0-9]+$', '/item/42', true],
  ['^/item/[0-9]+$', '/item/4a', false],
  ['\\.(?:png|jpe?g)$', '/a/b.jpg', true],
  ['\\.(?:png|jpe?g)$', '/a/b.jpg/', false],
  ['admin', '/x/admin/y', true],
  ['^$', '', true],
  ['^$', 'x', false],
  ['', 'x', true],
  ['(?i)^/ADMIN/', '/Admin/', true],
  ['(?i)ä', 'Ä', true],
  ['(?i)[^ä]', 'Ä', false],
  ['ä', 'Ä', false],
  ['^.$', '😀', true],
  ['^.$', '\n', true],
  ['\\bcat\\b', 'a cat.', true],
  ['\\bcat\\b', 'concat', false],
  ['a{3,5}$', 'aaa', true],
  ['^a{3,5}$', 'aaaaaa', false],
  ['^(?:a|b|c){2}\\d{2}$', 'ab12', true],
  ['x^y', 'xy', false],
  ['a$b|c', 'c', true],
];
for (const [expression, text, wanted] of found) {
  test(`${expression} is ${wanted ? '' : 'not '}in ${JSON.stringify(text)}`, () => {
    assert.is(finds(expression, text), wanted);
  });
}

test('looks at the octets that it was given alone', () => {
  const bytes = utf8('xxabcxx');
  const regex = new Regex('^abc$');
  assert.is(regex.test(bytes, 2, 5), true);
  assert.is(regex.test(bytes, 2, 6), false);
  assert.is(new Regex('x').test(bytes, 2, 5), false);
});

const refused: readonly (readonly [string, RegExp])[] = [
  ['(a', /no regular expression: Unterminated group/],
  ['a**', /no regular expression: Nothing to repeat/],
  ['[b-a]', /no regular expression: Range out of order/],
  ['(a)\\1', /refers back to a group.*write it without/],
  ['(?<n>a)\\k<n>', /refers back to a group/],
  ['(?=a)', /looks around.*write it without/],
  ['(?<!a)b', /looks around/],
  ['\\p{L}', /write the characters/],
  ['a{1001}', /has 1001 steps, at most 1000 fit: repeat less/],
  ['((a{100}){100}){100}', /steps, at most 1000 fit: repeat less/],
  ['((((){1000}){1000}){1000}){1000}', /steps, at most 1000 fit/],
  ['a{99999999999}', /steps, at most 1000 fit/],
  ['x'.repeat(1025), /1025 characters, at most 1024 fit/],
];
for (const [expression, why] of refused) {
  test(`${expression.slice(0, 40)} is refused with what to do`, () => {
    assert.match(regexFault(expression) ?? 'no fault', why);
    assert.throws(() => new Regex(expression));
  });
}

/** Expressions that take exponential or square time in an engine that goes back. */
const catastrophes: readonly (readonly [string, string, string])[] = [
  ['^(a+)+$', 'a', '!'],
  ['^(a|a)*$', 'a', '!'],
  ['^(a|aa)+$', 'a', '!'],
  ['^(.*)*x$', 'a', 'y'],
  ['(x+x+)+y', 'x', 'z'],
  ['^(([a-z])+.)+[A-Z]([a-z])+$', 'a', '!'],
  ['^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}$', 'a', '!'],
  ['(?:(?:a?){50}){5}b', 'a', 'c'],
  ['^(?:a*)*(?:a*)*(?:a*)*b$', 'a', 'c'],
  ['(.*)=(.*)=(.*)$', '=', '\\'],
  ['\\s+$', ' ', 'x'],
  ['(?:ab?)*[ab]{30}c', 'ab', 'd'],
];
test('takes a number of steps that grows with the text alone', () => {
  for (const [expression, one, last] of catastrophes) {
    const bytes = utf8(`${one.repeat(4000)}${last}`);
    const regex = new Regex(expression);
    const steps = countSteps(regex, () => regex.test(bytes, 0, bytes.length));
    // Each octet is looked at once; states are made at most once for each of them.
    assert.ok(steps <= bytes.length + 1, `${expression}: ${steps} new states for ${bytes.length}`);
  }
});

/** How often a transition had to be worked out. */
function countSteps(regex: Regex, run: () => void): number {
  const inner = regex as unknown as { advance: (state: number, column: number) => number };
  const advance = inner.advance.bind(regex);
  let steps = 0;
  inner.advance = (state, column) => {
    steps += 1;
    return advance(state, column);
  };
  run();
  return steps;
}

test('an automaton of exponentially many states stays within its memory', () => {
  const regex = new Regex('[ab]*a[ab]{40}c');
  const inner = regex as unknown as { table: Int32Array; states: Int32Array; count: number };
  let x = 1;
  for (let round = 0; round < 20; round += 1) {
    let text = '';
    for (let i = 0; i < 3000; i += 1) {
      x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
      text += ((x >>> 16) & 1) === 0 ? 'a' : 'b';
    }
    if (round % 2 === 1) text = `${text.slice(0, 2900)}c`;
    const bytes = utf8(text);
    const wanted = text.at(-1) === 'c' && text.at(-42) === 'a';
    assert.is(regex.test(bytes, 0, bytes.length), wanted, `round ${round}`);
  }
  assert.ok(inner.count <= 1024, `${inner.count} states`);
  assert.ok(inner.table.byteLength <= 512 * 1024, `${inner.table.byteLength} bytes of transitions`);
});

test('what was seen before allocates nothing', () => {
  const regex = new Regex('^/(?:item|article)/[0-9]+(?:/.*)?$');
  const bytes = utf8('/article/12345/reviews');
  const rounds = 100_000;
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 6; run += 1) {
    const before = process.memoryUsage().heapUsed;
    let good = true;
    for (let i = 0; i < rounds; i += 1) good = regex.test(bytes, 0, bytes.length) && good;
    assert.ok(good);
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(least / rounds < 1, `${(least / rounds).toFixed(2)} bytes of heap a search`);
});

test.run();
