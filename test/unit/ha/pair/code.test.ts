/** Codes of invitations: what is typed wrong is found before anything is sent. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatCode, makeSecret, parseCode } from '../../../../appliance/ha/pair/code.js';

const test = suite('codes of the pair');

test('a code carries 95 bits in four groups, and comes back however it is typed', () => {
  const secret = makeSecret();
  const code = formatCode(secret);
  assert.match(code, /^([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}$/);
  for (const typed of [
    code,
    code.toLowerCase(),
    code.replaceAll('-', ''),
    ` ${code.replaceAll('-', ' ')} `,
    code.replaceAll('0', 'o').replaceAll('1', 'l'),
  ]) {
    assert.ok(parseCode(typed).equals(secret), `"${typed}" is ${code}`);
  }
  assert.is(new Set(Array.from({ length: 1000 }, () => formatCode(makeSecret()))).size, 1000);
});

test('every wrong symbol and every swap of neighbours is found', () => {
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  const code = formatCode(makeSecret()).replaceAll('-', '');
  for (let at = 0; at < code.length; at += 1) {
    for (const symbol of alphabet) {
      if (symbol === code[at]) continue;
      const wrong = code.slice(0, at) + symbol + code.slice(at + 1);
      assert.throws(() => parseCode(wrong), /mistyped/, `${wrong} for ${code}`);
    }
    const [one = '', two = ''] = code.slice(at, at + 2);
    if (two === '' || one === two) continue;
    const swapped = code.slice(0, at) + two + one + code.slice(at + 2);
    assert.throws(() => parseCode(swapped), /mistyped/, `${swapped} for ${code}`);
  }
});

test('what is no code is refused with how one looks', () => {
  for (const text of [
    '',
    'ABCDE',
    'ABCDE-ABCDE-ABCDE-ABCDE-A',
    'UUUUU-UUUUU-UUUUU-UUUUU',
    'é'.repeat(20),
  ]) {
    assert.throws(() => parseCode(text), /20 letters and digits/, text);
  }
});

test.run();
