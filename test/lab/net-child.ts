/**
 * The process that net.test.ts runs inside a network namespace: one Network, driven by messages.
 *
 * Invariant: every answer and every change carries a complete view, so that the parent never has to
 * put pieces together.
 */
import type { NetTables } from '../../appliance/control/tables.js';
import { Network, type NetReport } from '../../appliance/net/network.js';
import type { Log } from '../../appliance/net/mirror.js';
import { inspect } from '../../appliance/offload/hardware.js';
import { Poller } from '../../native/ffi/poller.js';

export interface View {
  /** By member address: `MAC via MAC on NAME`, or the sentence. */
  readonly nextHops: Readonly<Record<string, string>>;
  readonly interfaces: readonly string[];
  /** `ADDRESS/LENGTH on NAME`, with ` (ours)` behind it where it carries the mark. */
  readonly addresses: readonly string[];
  readonly drivers: readonly string[];
  readonly warnings: readonly string[];
  /** Only in the answer to a reconcile. */
  readonly report?: Pick<NetReport, 'added' | 'removed' | 'present' | 'problems'>;
}

const warnings: string[] = [];
const note = (...given: unknown[]): void => {
  warnings.push(String(given[1] ?? given[0]));
};
const log: Log = { debug: () => undefined, info: () => undefined, warn: note, error: note };
const poller = new Poller();
const buffer = process.argv[2];
const network = await Network.open({
  poller,
  log,
  ...(buffer === undefined ? {} : { notificationBuffer: Number(buffer) }),
});
let members: readonly string[] = [];

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/..(?=.)/g, '$&:');

function view(report?: NetReport): View {
  const names = new Map(network.links().map(({ index, name }) => [index, name]));
  return {
    nextHops: Object.fromEntries(
      members.map((member) => {
        const hop = network.nextHop(member);
        if ('unresolved' in hop) return [member, hop.unresolved];
        return [member, `${hex(hop.mac)} from ${hex(hop.sourceMac)} on ${hop.interfaceName}`];
      }),
    ),
    interfaces: network.fastPathInterfaces().map(({ name }) => name),
    addresses: network
      .addresses()
      .map(({ address, prefixLength, interfaceIndex, origin }) => {
        const name = names.get(interfaceIndex) ?? interfaceIndex;
        return `${address}/${prefixLength} on ${name}${origin === 0x57 ? ' (ours)' : ''}`;
      })
      .sort(),
    drivers: network.fastPathInterfaces().map(({ name }) => driverOf(name)),
    warnings: [...warnings],
    ...(report === undefined ? {} : { report }),
  };
}

/** The interface may be gone by the time that it is asked for. */
function driverOf(name: string): string {
  try {
    return inspect(name).driver;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tell(message: View): void {
  process.send?.(message);
}

network.onChange(() => tell(view()));
process.on('message', (net: NetTables | 'stop') => {
  if (net === 'stop') {
    // From here on nothing is told, so the channel can go; the process then ends by itself.
    network.close();
    poller.close();
    process.disconnect();
    return;
  }
  members = net.memberAddresses;
  network.reconcile(net).then(
    (report) => tell(view(report)),
    (error: unknown) => {
      throw error;
    },
  );
});
// Also when the parent died.
process.on('disconnect', () => {
  network.close();
  poller.close();
});
