/**
 * The one-time code of an invitation: 95 random bits as 19 symbols of Crockford's base 32
 * (https://www.crockford.com/base32.html), and a check symbol, in groups of five. His own check
 * symbols (`*`, `~`, `$`) mean something to shells; this one is of the same alphabet: the symbols as a
 * polynomial over GF(32) at x, which finds each wrong symbol and each swap of neighbours.
 */
import { randomBytes } from 'node:crypto';
import { PairError } from './errors.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const SYMBOLS = 19;
const GROUP = 5;
/** x⁵ + x² + 1, which is primitive: powers of x differ over 31 places. */
const MODULUS = 0b100101;

/** The secret behind a code, an octet for each symbol (5 bits). Whoever has it wipes it. */
export type CodeSecret = Buffer;

export function makeSecret(): CodeSecret {
  const secret = randomBytes(SYMBOLS);
  for (let at = 0; at < SYMBOLS; at += 1) secret[at] = (secret[at] ?? 0) & 31;
  return secret;
}

/** `XXXXX-XXXXX-XXXXX-XXXXX`. */
export function formatCode(secret: CodeSecret): string {
  const symbols = [...secret, checkOf(secret)].map((value) => ALPHABET[value] ?? '').join('');
  return (symbols.match(new RegExp(`.{${GROUP}}`, 'g')) ?? []).join('-');
}

/** As people type it: case, hyphens and spaces do not count, O is 0, I and L are 1. @throws PairError (invalid) */
export function parseCode(text: string): CodeSecret {
  const symbols = text.toUpperCase().replace(/[-\s]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
  const values = [...symbols].map((symbol) => ALPHABET.indexOf(symbol));
  if (values.length !== SYMBOLS + 1 || values.includes(-1)) {
    throw new PairError(
      'invalid',
      `A code has ${SYMBOLS + 1} letters and digits in groups of ${GROUP}: type it as "weir pair invite" printed it.`,
    );
  }
  const secret = Buffer.from(values.slice(0, SYMBOLS));
  if (checkOf(secret) !== values[SYMBOLS]) {
    throw new PairError(
      'invalid',
      'The code is mistyped: its last symbol does not fit the others. Compare it with what "weir pair invite" printed.',
    );
  }
  return secret;
}

function checkOf(secret: CodeSecret): number {
  let check = 0;
  for (const value of secret) {
    check ^= value;
    check <<= 1;
    if (check > 31) check ^= MODULUS;
  }
  return check;
}
