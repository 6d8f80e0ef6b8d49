/**
 * Certificates and keys on their way to workers, as sealed memory that is made when a worker needs it:
 * the daemon does not hold keys in the clear meanwhile.
 *
 * Invariant: what `read` gave is wiped as soon as it is in that memory.
 */
import { sealedCopy } from '../../../native/ffi/packet-channel.js';
import { packSecrets, type TlsSecrets } from '../tls/secrets.js';

let versions = 0;

export class PackedSecrets {
  /** Above 0, and of no others. */
  readonly version = (versions += 1);

  /** `read` gives the latest; its keys are its caller's to wipe. */
  constructor(private readonly read: () => TlsSecrets) {}

  /** A descriptor, to be closed. Throws SystemError when there is no memory. */
  pack(): { readonly fd: number; readonly bytes: number } {
    const secrets = this.read();
    const packed = packSecrets(secrets);
    for (const { key } of secrets.certificates) key?.fill(0);
    try {
      return { fd: sealedCopy('weir-l7-secrets', packed), bytes: packed.length };
    } finally {
      packed.fill(0);
    }
  }
}
