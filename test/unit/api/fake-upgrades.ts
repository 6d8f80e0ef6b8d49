/** The part of the fake daemon that upgrades; it remembers what it was asked. */
import type { UpgradeView } from '../../../appliance/api/contract.js';
import type { UpgradePort, UpgradeRequest } from '../../../appliance/api/upgrade-port.js';

export const SLOTS_IDLE: UpgradeView = {
  ...{ unable: null, version: '0.1.0', phase: 'idle', progress: null, otherUnit: null },
  slots: [
    {
      ...{ slot: 'a', running: true, good: true, trial: false },
      ...{ version: '0.1.0', commit: 'c0ffee'.padEnd(40, '0') },
    },
    { slot: 'b', running: false, good: false, trial: false, version: '0.0.9', commit: null },
  ],
  last: {
    ...{ stage: 'fallen-back', version: '0.2.0', back: false, author: 'root' },
    ...{ began: Date.UTC(2026, 0, 1), changed: Date.UTC(2026, 0, 1, 0, 6) },
    reason: 'no link on eth1',
  },
  ...{ problem: null, missing: [], reboots: true },
};

export const WRITING: UpgradeView = {
  ...SLOTS_IDLE,
  phase: 'writing',
  progress: { done: 30_000_000, total: 120_000_000 },
};

export class FakeUpgrades implements UpgradePort {
  readonly asked: (UpgradeRequest | { readonly back: string })[] = [];
  /** What it answers, one after the other; the last one for ever. */
  views: UpgradeView[] = [SLOTS_IDLE];

  async view(): Promise<UpgradeView> {
    const [first = SLOTS_IDLE] = this.views.length > 1 ? this.views.splice(0, 1) : this.views;
    return first;
  }

  start(request: UpgradeRequest): Promise<UpgradeView> {
    this.asked.push(request);
    return this.view();
  }

  back({ author }: { readonly author: string }): Promise<UpgradeView> {
    this.asked.push({ back: author });
    return this.view();
  }
}
