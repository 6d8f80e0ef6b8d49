/** What was refused between the units, since the daemon started. */
export const refusals = [
  /** A connection that ended in its handshake, or of a key that is not the other unit's. */
  'foreign',
  /** A joining unit did not know the code. */
  'wrongCode',
  /** A frame whose number was there before on its connection. */
  'replayed',
  /** A message that was delivered before; after the loss of a link some are sent twice. */
  'repeated',
  /** From or for a former run of a daemon. */
  'stale',
  /** Too long, out of order, of an unknown type, or with other content than is agreed. */
  'malformed',
  /** For a channel that nobody hears here. */
  'unheard',
] as const;
export type Refusal = (typeof refusals)[number];
export type RefusalCounts = Record<Refusal, number>;

export function noRefusals(): RefusalCounts {
  return {
    foreign: 0,
    wrongCode: 0,
    replayed: 0,
    repeated: 0,
    stale: 0,
    malformed: 0,
    unheard: 0,
  };
}
