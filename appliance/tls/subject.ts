/**
 * Names of subjects (RFC 5280 §4.1.2.4), from `CN=shop.example, O=Shop` as people write them.
 */
import { oid, printable, sequence, set, utf8, type Node } from './asn1.js';
import { CertificateError } from './errors.js';

const ATTRIBUTES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  SERIALNUMBER: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
};
/** Upper bounds of RFC 5280, appendix A.1. */
const LONGEST = 64;
const MOST = 16;

/** DER of a name. The empty text is the empty name. @throws CertificateError */
export function subjectName(text: string): Node {
  if (text.trim() === '') return sequence();
  const pieces = text.split(/(?<!\\),/).map((piece) => piece.trim().replaceAll('\\,', ','));
  if (pieces.length > MOST) throw refused(`it has more than ${MOST} parts`);
  return sequence(...pieces.map(part));
}

function part(piece: string): Node {
  const [, key = '', value = ''] = /^([A-Za-z]+)\s*=\s*(.*)$/s.exec(piece) ?? [];
  const upper = key.toUpperCase();
  const type = Object.hasOwn(ATTRIBUTES, upper) ? ATTRIBUTES[upper] : undefined;
  if (type === undefined) {
    throw refused(`"${piece}" is not one of ${Object.keys(ATTRIBUTES).join('=, ')}=`);
  }
  if (value === '' || [...value].length > LONGEST || /\p{Cc}/u.test(value)) {
    throw refused(`${upper} must have 1 to ${LONGEST} characters`);
  }
  if (upper === 'C' && !/^[A-Z]{2}$/.test(value)) {
    throw refused(`C is a country in two capital letters, such as DE`);
  }
  return set(sequence(oid(type), upper === 'C' ? printable(value) : utf8(value)));
}

function refused(why: string): CertificateError {
  return new CertificateError(
    'invalid',
    `The subject cannot be used: ${why}. Write it as in "CN=shop.example, O=Shop, C=DE".`,
  );
}
