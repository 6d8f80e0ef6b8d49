/** The fake daemon of the API as what metrics are made of. */
import type { MetricsSource } from '../../../appliance/metrics/snapshot.js';
import { DURATION_BOUNDS } from '../../../appliance/metrics/traffic.js';
import type { FakeDaemon } from '../api/fake-daemon.js';

export function fakeSource(daemon: FakeDaemon): MetricsSource {
  return Object.assign(daemon, {
    timings: () => ({
      ...{ count: 6, sum: 1.5 },
      within: DURATION_BOUNDS.map((_, index) => Math.min(5, index)),
    }),
    memberBatches: () => [daemon.rows.members],
    disks: [{ directory: '/var/lib/weir', free: 123, size: 456 }],
  });
}
