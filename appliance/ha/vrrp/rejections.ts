/**
 * Why an advertisement is not believed: a small fixed set, so that each can be counted and shown.
 * Sources: RFC 9568 §7.1, RFC 3768 §7.1.
 */

/** In the order in which they are looked for, with what a person can make of each. */
export const rejections = {
  'hop-limit': 'it came through a router: TTL or hop limit is not 255',
  'too-short': 'it ends before its header does',
  version: 'it is of a version that is not spoken there',
  type: 'it is no advertisement',
  family: 'version 2 has no IPv6',
  count: 'it names no address',
  length: 'its length is not that of as many addresses as it counts',
  checksum: 'its checksum is wrong',
  'vrid-zero': 'its virtual router id is 0',
  'interval-zero': 'its advertisement interval is 0',
  'vrid-unknown': 'no virtual router of this id is on the interface',
  'own-address': "it comes from this unit's own address",
  'not-a-peer': 'its sender is none of the unicast peers, or multicast is not awaited',
  owner: 'this unit owns the addresses',
  authentication: 'its authentication is not the one that is expected',
  interval: 'its version 2 interval is another one',
  addresses: 'its addresses are others',
} as const;

export type Rejection = keyof typeof rejections;

/** How often each reason was met. */
export class RejectionCounts {
  readonly #counts = new Map<Rejection, number>();

  add(reason: Rejection): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  /** Those that were met at all. */
  all(): Readonly<Partial<Record<Rejection, number>>> {
    return Object.fromEntries(this.#counts);
  }
}
