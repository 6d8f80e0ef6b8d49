/** Names that people give: of certificates in the store, and that certificates are for. Pure. */
import { PortError } from '../api/port.js';
import { parseAddress } from '../config/addresses.js';
import { parseName } from '../config/basics.js';

const HOST =
  /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const MOST_NAMES = 100;

/** @throws PortError */
export function checkName(name: string): void {
  const result = parseName(name);
  if (!result.ok) throw new PortError('invalid', `${result.message}.`);
}

/** DNS names and addresses, as certificates have them. @throws PortError */
export function checkedNames(names: readonly string[]): string[] {
  if (names.length > MOST_NAMES) {
    throw new PortError('invalid', `A certificate is for ${MOST_NAMES} names at most.`);
  }
  return names.map((given) => {
    const address = parseAddress(given);
    if (address.ok) return address.value.text;
    const lower = given.toLowerCase();
    if (lower.length <= 253 && HOST.test(lower)) return lower;
    throw new PortError(
      'invalid',
      `"${given}" is neither a host name nor an address: write such as shop.example, *.shop.example or 192.0.2.1.`,
    );
  });
}
