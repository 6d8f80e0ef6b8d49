/** Stand-ins for tiers and network: they remember what they were told and can refuse. */
import type {
  FastPathPort,
  MonitorsPort,
  NetOutcome,
  NetworkPort,
} from '../../../appliance/control/ports.js';
import type {
  L4Tables,
  MonitorTarget,
  NetTables,
  NextHop,
} from '../../../appliance/control/tables.js';
import type { HealthStatus } from '../../../appliance/health/monitors.js';
import type { AttachOutcome, FastPathInterface } from '../../../appliance/l4/attach.js';
import { CapacityError, type ProgramReport } from '../../../appliance/l4/programmer.js';

export const hop: NextHop = {
  interfaceIndex: 2,
  interfaceName: 'eth0',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
};

export class FakeFastPath implements FastPathPort {
  readonly programmed: L4Tables[] = [];
  failures = 0;
  maxServices = Infinity;

  checkCapacity(tables: L4Tables): void {
    if (tables.services.size > this.maxServices) throw new CapacityError('too many services');
  }

  program(tables: L4Tables): ProgramReport {
    if (this.failures > 0) {
      this.failures--;
      throw new Error('the kernel refused');
    }
    this.programmed.push(tables);
    return { servicesWritten: 0, servicesRemoved: 0, membersWritten: 0, slotsWritten: 0 };
  }

  attach(interfaces: readonly FastPathInterface[]): AttachOutcome[] {
    return interfaces.map((one) => ({
      interface: one,
      attachment: {
        interfaceName: one.name,
        interfaceIndex: one.index,
        mode: 'native',
        adopted: false,
        since: 0,
      },
      degraded: false,
      why: '',
    }));
  }
}

export class FakeNetwork implements NetworkPort {
  readonly wanted: NetTables[] = [];
  readonly unresolved = new Map<string, string>();
  interfaces: NetOutcome['interfaces'] = [{ name: 'eth0', index: 2, mtu: 1500 }];
  /** What happens while the network is at work. */
  during: () => void = () => undefined;

  async reconcile(net: NetTables): Promise<NetOutcome> {
    this.wanted.push(net);
    await Promise.resolve();
    this.during();
    return { interfaces: this.interfaces, problems: [] };
  }

  nextHop(address: string): NextHop | { readonly unresolved: string } {
    const reason = this.unresolved.get(address);
    return reason === undefined ? hop : { unresolved: reason };
  }

  interfaceOf(): string | null {
    return this.interfaces[0]?.name ?? null;
  }
}

export class FakeMonitors implements MonitorsPort {
  targets: ReadonlyMap<string, MonitorTarget> = new Map();
  readonly states = new Map<string, HealthStatus>();
  reconciled = 0;

  reconcile(targets: ReadonlyMap<string, MonitorTarget>): void {
    this.targets = targets;
    this.reconciled++;
  }

  status(id: string): HealthStatus | undefined {
    return this.states.get(id);
  }
}
