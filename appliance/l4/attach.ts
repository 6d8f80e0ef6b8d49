/**
 * Attaches the program to an interface in the best mode that works there, trying the
 * hardware profile's modes in turn, and says in one sentence what came of it.
 *
 * Invariant: where the program runs already it stays as it is. To try another mode it would
 * have to come off first, and meanwhile the kernel would reset the services' connections.
 */
import { BpfError, type XdpMode } from '../../native/ffi/libbpf.js';
import type { Attachment, Datapath } from './datapath.js';

export interface WantedMode {
  readonly mode: XdpMode;
  /** Why it cannot work, known without trying; null: try it. */
  readonly obstacle: string | null;
}

/** What this needs of the datapath. */
export type AttachTo = Pick<Datapath, 'current' | 'allowPorts' | 'attach' | 'detach'>;

/** An interface of the fast path and what its hardware profile says of it. */
export interface FastPathInterface {
  readonly name: string;
  readonly index: number;
  readonly driver: string;
  readonly profile: string;
  /** The best first. */
  readonly modes: readonly WantedMode[];
  /** Indices of the ports of a bond: its frames come in by them, and leave by the bond. */
  readonly ports?: readonly number[];
}

export interface AttachOutcome {
  readonly interface: FastPathInterface;
  readonly attachment: Attachment | null;
  /** Another mode than the best one, or none. */
  readonly degraded: boolean;
  readonly why: string;
}

/** @param before what came of it in an earlier run, if there was one */
export function attachInterface(
  datapath: AttachTo,
  wanted: FastPathInterface,
  before: AttachOutcome | undefined,
): AttachOutcome {
  const request = { interfaceName: wanted.name, interfaceIndex: wanted.index };
  const current = datapath.current(request);
  datapath.allowPorts(wanted.index, wanted.ports ?? []);
  if (current !== null) {
    if (before?.attachment === current) return { ...before, interface: wanted };
    return adopted(wanted, current);
  }
  const refusals: string[] = [];
  for (const { mode, obstacle } of wanted.modes) {
    if (obstacle !== null) {
      refusals.push(`${mode} cannot work: ${obstacle}`);
      continue;
    }
    try {
      const attachment = datapath.attach({ ...request, mode });
      const why =
        refusals.length === 0
          ? bestOf(wanted, mode)
          : slower(mode, `${refusals.join('; ')}; weir hardware shows how to set it`);
      return { interface: wanted, attachment, degraded: refusals.length > 0, why };
    } catch (cause) {
      if (!(cause instanceof BpfError)) throw cause;
      // Another program is in the way of every mode.
      if (isTaken(cause)) {
        return { interface: wanted, attachment: null, degraded: true, why: taken(wanted.name) };
      }
      refusals.push(`${mode} was refused: ${cause.message}`);
    }
  }
  const why = `not attached: ${refusals.join('; ')}`;
  return { interface: wanted, attachment: null, degraded: true, why };
}

/**
 * Brings an interface from native to generic mode, because another of the fast path has no
 * native mode: a driver can hand a frame only to one that takes frames in the same form.
 */
export function makeGeneric(
  datapath: AttachTo,
  outcome: AttachOutcome,
  because: string,
): AttachOutcome {
  const { name, index } = outcome.interface;
  datapath.detach(index);
  let attachment: Attachment;
  try {
    attachment = datapath.attach({ interfaceName: name, interfaceIndex: index, mode: 'generic' });
  } catch (cause) {
    if (!(cause instanceof BpfError)) throw cause;
    // The other interfaces must keep what came of them.
    const why = isTaken(cause)
      ? taken(name)
      : `not attached: generic was refused: ${cause.message}`;
    return { ...outcome, attachment: null, degraded: true, why };
  }
  const why = slower(
    'generic',
    `${because} has no native mode, and frames go from native mode to native mode only`,
  );
  return { ...outcome, attachment, degraded: true, why };
}

function adopted(wanted: FastPathInterface, attachment: Attachment): AttachOutcome {
  const best = wanted.modes.find(({ obstacle }) => obstacle === null)?.mode;
  const degraded = attachment.mode !== best;
  const why = degraded
    ? slower(
        attachment.mode,
        'it runs so already, and another is tried only where nothing runs: stop the daemon, run weir detach, and start it again',
      )
    : bestOf(wanted, attachment.mode);
  return { interface: wanted, attachment, degraded, why };
}

function isTaken({ code }: BpfError): boolean {
  return code === 'EBUSY' || code === 'EEXIST';
}

/** The kernel refuses a program also where a device above has one: generic mode would run both. */
function taken(name: string): string {
  return (
    `not attached: another XDP program runs on ${name}, or on a device above it; take it off ` +
    `(ip link set dev ${name} xdp off), or name only one of the two devices in unit.interfaces`
  );
}

function bestOf(wanted: FastPathInterface, mode: XdpMode): string {
  const of =
    wanted.driver === '' ? 'a device without a driver name' : `the driver ${wanted.driver}`;
  return `${mode} mode, the best that the profile ${wanted.profile} knows for ${of}`;
}

function slower(mode: XdpMode, because: string): string {
  return `${mode} mode, not the best for this interface, because ${because}`;
}
