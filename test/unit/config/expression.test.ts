/** Expressions: what they compute, and that they reach nothing but their variables. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  EXPRESSION_MAX_LENGTH,
  parseExpression,
  tryExpression,
  type ExpressionInput,
} from '../../../appliance/config/expression.js';

const test = suite('expressions');

const input: ExpressionInput = {
  weight: 3,
  connections: 4,
  response_time: 250,
  bandwidth: 1000,
  health: 1,
  cpu: 50,
  location: 'ams',
};

for (const [text, expected] of [
  ['weight', 3],
  ['weight / (1 + connections) * health', 0.6],
  ['1 / 2 * weight', 1.5],
  ['location == "ams" ? weight : weight / 4', 3],
  ["location != 'ams' ? weight : weight / 4", 0.75],
  ['connections > 100 or cpu >= 90 ? 0 : weight', 3],
  ['not (cpu < 60) ? 1 : 2', 2],
  ['max(1, min(weight, 2)) + abs(-1)', 3],
  ['1e6 / response_time', 4000],
  ['floor sqrt(weight * 3) + round(0.4) + ceil(0.4)', 4],
  ['2 ^ 3 % 5', 3],
  ['exp(ln(7))', 7],
] as const) {
  test(`${text} is ${expected}`, () => {
    const parsed = parseExpression(text);
    assert.ok(parsed.ok, parsed.ok ? '' : parsed.message);
    if (parsed.ok) assert.ok(Math.abs(parsed.value(input) - expected) < 1e-9);
  });
}

for (const text of [
  'constructor',
  'weight.constructor',
  'weight["constructor"]',
  '__proto__',
  'toString',
  'this',
  'process',
  'globalThis',
  'min.constructor("return 1")()',
  'map(f, 1)',
  'fold(min, 0, 1)',
  'f(x) = x',
  'weight = 9',
  'random()',
  'fac(1000000)',
  '1000000!',
  'gamma(3)',
  'weight || 1',
  'length "abc"',
  'weight in (1, 2)',
  'PI',
  '',
  '(',
  '1 +',
]) {
  test(`${text || 'nothing'} is refused before anything is computed`, () => {
    const parsed = parseExpression(text);
    assert.not(parsed.ok, 'it must not be taken');
    if (!parsed.ok) assert.ok(parsed.message.length > 10, parsed.message);
  });
}

for (const [text, message] of [
  ['toString', 'is no expression: unexpected "toString"'],
  ['weight weight', 'is no expression: parse error [1:14]: Expected an operator or the end'],
  ['1 +', 'is no expression: unexpected end'],
] as const) {
  test(`why ${text} is refused is said without the parser's own words`, () => {
    const parsed = parseExpression(text);
    assert.is(parsed.ok ? 'taken' : parsed.message, message);
  });
}

test('a text that is too long is refused', () => {
  assert.not(parseExpression(`weight${' + weight'.repeat(EXPRESSION_MAX_LENGTH / 9)}`).ok);
});

test('whatever is written: a refusal, an error that says what is wrong, or a weight', () => {
  const pieces = fc.constantFrom(
    ...['weight', 'connections', 'location', 'min', 'max', 'not', 'and', 'or', '(', ')', ',', '?'],
    ...[':', '+', '-', '*', '/', '%', '^', '==', '<', '1', '0', '0.5', '"a"', ' ', ';', '.', '['],
    ...['constructor', '__proto__', 'true', 'false', 'sqrt', 'ln', '!', '|', '=', 'e', '\\', '\n'],
  );
  let computed = 0;
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const parsed = parseExpression(parts.join(' '));
      if (!parsed.ok) return;
      computed++;
      try {
        const weight = parsed.value(input);
        assert.ok(Number.isFinite(weight) && weight >= 0, `${parts.join(' ')} gave ${weight}`);
      } catch (error) {
        assert.instance(error, Error);
        assert.match(String(error), /it (gives|divides|cannot be computed)/);
      }
    }),
    { numRuns: 20_000, seed: 4 },
  );
  assert.ok(computed > 50, `some are expressions, seen ${computed}`);
  assert.is(Object.keys(Object.prototype).length, 0, 'nothing was added to all objects');
});

test('the trial says for which values an expression fails', () => {
  const parsed = parseExpression('weight / bandwidth');
  assert.ok(parsed.ok);
  if (!parsed.ok) return;
  const said = tryExpression(parsed.value, { weight: 1, location: '' }) ?? 'nothing';
  assert.match(said, /bandwidth 0.*divides by 0/);
  const good = parseExpression('weight / (1 + bandwidth)');
  assert.ok(good.ok && tryExpression(good.value, { weight: 1, location: '' }) === null);
});

test.run();
