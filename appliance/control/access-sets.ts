/**
 * Access lists as a set of prefixes with one verdict each. One rule decides: the longest prefix
 * that holds the source wins. Of equal prefixes a temporary entry wins over a list, and deny over
 * allow. A source in no list is refused exactly when the service names a list to allow.
 *
 * Invariant: every set has an entry for all of IPv4 and one for all of IPv6, so an IPv6 prefix that
 * holds the mapped addresses (::/0 above all) never decides about IPv4.
 */
import type { IpAddress } from '../config/address-codec.js';
import { prefixKey, type PrefixKey } from '../config/prefix-key.js';

export type Verdict = 'allow' | 'deny';

const ALL_IPV4 = prefixKey({ family: 4, bytes: new Uint8Array(4), text: '0.0.0.0' }, 0);
const ALL_IPV6 = prefixKey({ family: 6, bytes: new Uint8Array(16), text: '::' }, 0);

export interface TemporaryEntry {
  readonly key: PrefixKey;
  readonly verdict: Verdict;
}

export interface AccessSet {
  /** Names it among all sets, whatever it holds now. */
  readonly name: string;
  readonly verdicts: ReadonlyMap<PrefixKey, Verdict>;
}

export interface AccessParts {
  readonly name: string;
  /** Lists to allow and to deny; a service that names one to allow refuses everybody else. */
  readonly allow: readonly (readonly PrefixKey[])[];
  readonly deny: readonly (readonly PrefixKey[])[];
  /** Later ones win over earlier ones. */
  readonly temporary: readonly TemporaryEntry[];
}

export function buildAccessSet({ name, allow, deny, temporary }: AccessParts): AccessSet {
  const verdicts = new Map<PrefixKey, Verdict>();
  const otherwise: Verdict = allow.length > 0 ? 'deny' : 'allow';
  verdicts.set(ALL_IPV4, otherwise);
  verdicts.set(ALL_IPV6, otherwise);
  for (const list of allow) for (const key of list) verdicts.set(key, 'allow');
  for (const list of deny) for (const key of list) verdicts.set(key, 'deny');
  for (const { key, verdict } of temporary) verdicts.set(key, verdict);
  return { name, verdicts };
}

export interface Decision {
  readonly verdict: Verdict;
  /** The longest prefix that holds the address. */
  readonly key: PrefixKey;
}

/** What the fast path decides about an address. */
export function decide(set: AccessSet, address: IpAddress): Decision {
  for (let length = address.bytes.length * 8; length >= 0; length--) {
    const key = prefixKey(address, length);
    const verdict = set.verdicts.get(key);
    if (verdict !== undefined) return { verdict, key };
  }
  throw new RangeError(`the set ${set.name} says nothing about IPv${address.family}`);
}
