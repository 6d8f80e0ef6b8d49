/** Shares of a whole as text: `50%`. Invariant: read as a number above 0, up to 1. */
import { textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

const shareHelp = 'a share is a percentage from 1% to 100%, such as 50%';
const fineHelp = 'a share is a percentage from 0.001% to 100%, such as 10% or 0.5%';

function parseShare(text: string): Parsed<number> {
  const match = /^([0-9]{1,3})%$/.exec(text);
  const percent = Number(match?.[1]);
  if (match === null || percent < 1 || percent > 100) {
    return refused(`${quote(text)} is no share: ${shareHelp}`);
  }
  return parsed(percent / 100);
}

function parseFineShare(text: string): Parsed<number> {
  const [, whole, places = ''] = /^([0-9]{1,3})(?:\.([0-9]{1,3}))?%$/.exec(text) ?? [];
  // In whole thousandths of a per cent, since 0.1 + 0.2 is not 0.3 to a computer.
  const parts = whole === undefined ? 0 : Number(whole + places.padEnd(3, '0'));
  return parts < 1 || parts > 100_000
    ? refused(`${quote(text)} is no share: ${fineHelp}`)
    : parsed(parts / 100_000);
}

/** Whole per cent. */
export function share() {
  return textField(shareHelp, parseShare, {
    kind: 'share',
    pattern: '^[0-9]{1,3}%$',
    examples: ['50%'],
  });
}

/** Per cent with up to three decimals. */
export function fineShare() {
  return textField(fineHelp, parseFineShare, {
    kind: 'share, `0.001%` to `100%`',
    pattern: '^[0-9]{1,3}(?:\\.[0-9]{1,3})?%$',
    examples: ['10%', '0.5%'],
  });
}
