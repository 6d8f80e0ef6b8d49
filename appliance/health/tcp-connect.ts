/**
 * The tcp monitor that only connects (RFC 9293 §3.5), which is the most frequent one: by system
 * calls of its own, and fewer of them than a socket of node makes.
 *
 * Invariant: see verdict.ts and native/ffi/tcp-connector.ts.
 */
import type { Poller } from '../../native/ffi/poller.js';
import { tryConnect } from '../../native/ffi/tcp-connector.js';
import { readAddress, type IpAddress } from '../config/address-codec.js';
import type { Cancellation } from './cancellation.js';
import type { ConnectionSettings } from './connection.js';
import type { ProbeResult } from './state-machine.js';
import { failureOf, race, type Endpoint } from './verdict.js';

/** One probe. Never rejects. */
export function probeConnect(
  poller: Poller,
  endpoint: Endpoint,
  { timeout, source }: ConnectionSettings,
  cancelled: Cancellation,
): Promise<ProbeResult> {
  const to = addressOf(endpoint.address);
  const from = source === undefined ? null : addressOf(source);
  return race(timeout, cancelled, (finish) =>
    tryConnect(poller, to, endpoint.port, from, (error) => {
      if (error === null) {
        finish('pass', 'connected');
        return;
      }
      const { outcome, reason } = failureOf(error, source);
      finish(outcome, reason);
    }),
  );
}

/** Addresses are canonical here; that of a target is read once for all its probes. */
const known = new Map<string, IpAddress>();
const MOST_KNOWN = 100_000;

function addressOf(text: string): IpAddress {
  const before = known.get(text);
  if (before !== undefined) return before;
  const address = readAddress(text);
  if (address === null) throw new TypeError(`${text} is no address`);
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(text, address);
  return address;
}
