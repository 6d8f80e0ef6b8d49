/**
 * Attaches the program to an interface in the best mode that works there, trying the
 * hardware profile's modes in turn, and says in one sentence what came of it.
 */
import { BpfError, type XdpMode } from '../../native/ffi/libbpf.js';
import type { Attachment, Datapath } from './datapath.js';

export interface WantedMode {
  readonly mode: XdpMode;
  /** Why it cannot work, known without trying; null: try it. */
  readonly obstacle: string | null;
}

/** An interface of the fast path and what its hardware profile says of it. */
export interface FastPathInterface {
  readonly name: string;
  readonly index: number;
  readonly driver: string;
  readonly profile: string;
  /** The best first. */
  readonly modes: readonly WantedMode[];
}

export interface AttachOutcome {
  readonly interface: FastPathInterface;
  readonly attachment: Attachment | null;
  /** Another mode than the best one, or none. */
  readonly degraded: boolean;
  readonly why: string;
}

export function attachInterface(datapath: Datapath, wanted: FastPathInterface): AttachOutcome {
  const refusals: string[] = [];
  for (const { mode, obstacle } of wanted.modes) {
    if (obstacle !== null) {
      refusals.push(`${mode} cannot work: ${obstacle}`);
      continue;
    }
    try {
      const attachment = datapath.attach({
        interfaceName: wanted.name,
        interfaceIndex: wanted.index,
        mode,
      });
      return {
        interface: wanted,
        attachment,
        degraded: refusals.length > 0,
        why: attached(wanted, mode, refusals),
      };
    } catch (cause) {
      if (!(cause instanceof BpfError)) throw cause;
      // Another program on the interface is in the way of every mode.
      if (cause.code === 'EBUSY' || cause.code === 'EEXIST') {
        const why =
          `not attached: another XDP program runs on ${wanted.name}; ` +
          `remove it (ip link set dev ${wanted.name} xdp off)`;
        return { interface: wanted, attachment: null, degraded: true, why };
      }
      refusals.push(`${mode} was refused: ${cause.message}`);
    }
  }
  const why = `not attached: ${refusals.join('; ')}`;
  return { interface: wanted, attachment: null, degraded: true, why };
}

function attached(wanted: FastPathInterface, mode: XdpMode, refusals: readonly string[]): string {
  const of =
    wanted.driver === '' ? 'a device without a driver name' : `the driver ${wanted.driver}`;
  if (refusals.length === 0)
    return `${mode} mode, the best that the profile ${wanted.profile} knows for ${of}`;
  return `${mode} mode, slower than wanted, because ${refusals.join('; ')}`;
}
