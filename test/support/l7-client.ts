/** Clients of layer 7 from addresses as text. */
import type { ClientAddress } from '../../appliance/l7/client-address.js';
import { writeAddress } from '../../appliance/l7/http1/proxy-protocol.js';

export function clientAt(text: string): ClientAddress {
  const bytes = new Uint8Array(16);
  if (text.includes(':')) {
    writeAddress(bytes, text);
    return { bytes, family: 6 };
  }
  bytes.fill(0xff, 10, 12);
  bytes.set(text.split('.').map(Number), 12);
  return { bytes, family: 4 };
}
