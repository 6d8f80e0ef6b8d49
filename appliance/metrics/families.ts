/**
 * What is measured, by name. Names and units follow Prometheus' conventions: seconds and bytes,
 * counters that end with `_total`.
 *
 * Invariants: a name never changes its meaning. Labels are names of the document, of interfaces and of
 * reasons: nothing that clients send becomes one.
 */
import type { Family, Sample } from './format.js';
import { labels } from './format.js';
import { MEMBER_FAMILIES, POOL_FAMILIES, ROUTE_FAMILIES, SERVICE_FAMILIES } from './traffic.js';
import type { Snapshot } from './snapshot.js';

type SnapshotFamily = Family<Snapshot>;

function oneHot(own: string, label: string, words: readonly string[], is: string): Sample[] {
  return words.map((word) => {
    const text = labels({ [label]: word });
    return ['', own === '' ? text : `${own},${text}`, word === is ? 1 : 0];
  });
}

const family =
  (type: 'gauge' | 'counter') =>
  (
    name: string,
    help: string,
    samples: (of: Snapshot) => Iterable<Sample>,
    unit?: Family<never>['unit'],
  ): SnapshotFamily => ({ name, type, help, samples, ...(unit === undefined ? {} : { unit }) });
const gauge = family('gauge');
const counter = family('counter');

const one = (value: number | null): Sample[] => [['', '', value]];
const byLabel = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([word, value]) => ['', labels({ [label]: word }), value]);

const UNIT: readonly SnapshotFamily[] = [
  {
    ...{ name: 'weir_build', type: 'info', help: 'Version of Weir and of the kernel.' },
    samples: ({ status }) => [
      ['', labels({ version: status.version, kernel: status.kernel, unit: status.unit }), 1],
    ],
  },
  gauge(
    'weir_start_time_seconds',
    'When the daemon started, since 1970.',
    ({ status }) => one(status.startedAt / 1000),
    'seconds',
  ),
  gauge(
    'weir_uptime_seconds',
    'How long the daemon has run.',
    ({ status }) => one(status.uptimeMs / 1000),
    'seconds',
  ),
  gauge('weir_revision', 'The current revision of the configuration; 0: none.', ({ status }) =>
    one(status.revision ?? 0),
  ),
  gauge('weir_confirm_pending', '1 while a change waits to be confirmed.', ({ status }) =>
    one(status.pendingConfirm === null ? 0 : 1),
  ),
  gauge('weir_role', '1 for the role that the unit has.', ({ status }) =>
    oneHot('', 'role', ['standalone', 'master', 'backup'], status.role),
  ),
  gauge('weir_alarms', 'Alarms that there are now.', ({ status }) => {
    const counts = new Map<string, number>();
    for (const { code, severity } of status.alarms) {
      const label = labels({ code, severity });
      counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    return [...counts].map(([label, count]): Sample => ['', label, count]);
  }),
];

const FAST_PATH: readonly SnapshotFamily[] = [
  counter('weir_dropped_packets', 'Packets that the fast path dropped.', ({ counters }) =>
    byLabel('reason', counters.drops),
  ),
  counter(
    'weir_passed_packets',
    'Packets that the fast path handed to the kernel untouched.',
    ({ counters }) => one(counters.totals.passed),
  ),
  counter('weir_echo_replies', 'Echo requests that the fast path answered.', ({ counters }) =>
    one(counters.totals.echoReplies),
  ),
  counter('weir_lost_events', 'Events of flows that were not told.', ({ counters }) =>
    one(counters.totals.eventsLost),
  ),
  counter(
    'weir_sent_errors',
    'ICMP errors and TCP resets that the fast path sent by itself.',
    ({ counters }) => one(counters.totals.errorsSent),
  ),
  gauge('weir_interface_attached', '1: the fast path is attached to the interface.', ({ tiers }) =>
    tiers.map(({ interface: name, mode }): Sample => [
      '',
      labels({ interface: name, mode: mode ?? 'none' }),
      mode === null ? 0 : 1,
    ]),
  ),
  gauge(
    'weir_interface_degraded',
    '1: a better mode was wanted than the one that could be had.',
    ({ tiers }) =>
      tiers.map(({ interface: name, degraded }): Sample => [
        '',
        labels({ interface: name }),
        degraded ? 1 : 0,
      ]),
  ),
  gauge('weir_table_entries', 'Entries in a table of the fast path.', ({ tiers }) =>
    (tiers[0]?.maps ?? []).map(({ name, entries }): Sample => [
      '',
      labels({ table: name }),
      entries,
    ]),
  ),
  gauge('weir_table_limit', 'How many fit.', ({ tiers }) =>
    (tiers[0]?.maps ?? []).map(({ name, limit }): Sample => ['', labels({ table: name }), limit]),
  ),
  gauge('weir_access_entries', 'Entries of access lists in the fast path.', ({ access }) =>
    one(access.entries),
  ),
  gauge('weir_access_limit', 'How many fit.', ({ access }) => one(access.limit)),
];

const WORKER_STATES = ['starting', 'serving', 'draining'] as const;

const WORKERS: readonly SnapshotFamily[] = [
  gauge('weir_worker_state', '1 for the state that a worker of the proxy has.', ({ workers }) =>
    workers.flatMap(({ labels: own, row }) => oneHot(own, 'state', WORKER_STATES, row.state)),
  ),
  gauge('weir_worker_clients', 'Connections of clients that are open.', ({ workers }) =>
    workers.map(({ labels: own, row }): Sample => ['', own, row.clients]),
  ),
  counter('weir_worker_restarts', 'How often a worker died and was replaced.', ({ workers }) =>
    workers.map(({ labels: own, row }): Sample => ['', own, row.restarts]),
  ),
];

const PAIR: readonly SnapshotFamily[] = [
  gauge('weir_router_role', '1 for the role that a virtual router has.', ({ routers }) =>
    routers.flatMap(({ labels: own, row }) =>
      oneHot(own, 'role', ['master', 'backup', 'down'], row.role),
    ),
  ),
  gauge('weir_router_priority', 'Priority now, with what is tracked taken off.', ({ routers }) =>
    routers.map(({ labels: own, row }): Sample => ['', own, row.priority]),
  ),
  counter('weir_router_takeovers', 'How often it became master.', ({ routers }) =>
    routers.map(({ labels: own, row }): Sample => ['', own, row.takeovers]),
  ),
  counter(
    'weir_router_sent_advertisements',
    'Advertisements of VRRP that were sent.',
    ({ routers }) => routers.map(({ labels: own, row }): Sample => ['', own, row.sent]),
  ),
  counter(
    'weir_router_received_advertisements',
    'Advertisements of VRRP that were received.',
    ({ routers }) => routers.map(({ labels: own, row }): Sample => ['', own, row.received]),
  ),
  gauge(
    'weir_pair_together',
    '1: the other unit is heard. Without a pair there is none.',
    ({ pair }) => (pair.peer === null ? [] : one(pair.together ? 1 : 0)),
  ),
  gauge('weir_pair_link_up', '1: the link to the other unit is up.', ({ pair }) =>
    pair.links.map(({ address, up }): Sample => ['', labels({ link: address }), up ? 1 : 0]),
  ),
  gauge(
    'weir_pair_link_round_trip_seconds',
    'Of the last heartbeat.',
    ({ pair }) =>
      pair.links.map(({ address, rtt }): Sample => [
        '',
        labels({ link: address }),
        rtt === null ? null : rtt / 1000,
      ]),
    'seconds',
  ),
  gauge(
    'weir_pair_clock_difference_seconds',
    "The other unit's clock minus this one's, by each link.",
    ({ pair }) =>
      pair.links.map(({ address, clock }): Sample => [
        '',
        labels({ link: address }),
        clock === null ? null : clock.ms / 1000,
      ]),
    'seconds',
  ),
  gauge(
    'weir_pair_unacknowledged_messages',
    'Messages that the other unit has not acknowledged.',
    ({ pair }) => (pair.peer === null ? [] : one(pair.unacknowledged)),
  ),
  counter('weir_pair_refused', 'What was refused on the port of the pair.', ({ pair }) =>
    byLabel('reason', pair.refused),
  ),
  gauge(
    'weir_replication_state',
    '1 for how the configuration of the other unit stands to this one.',
    ({ status }) =>
      status.replication === null
        ? []
        : oneHot(
            '',
            'state',
            ['in-step', 'catching-up', 'away', 'refused'],
            status.replication.state,
          ),
  ),
  gauge(
    'weir_replication_lacking_changes',
    'Changes that the other unit is not known to have.',
    ({ status }) => (status.replication === null ? [] : one(status.replication.lacking)),
  ),
];

const REST: readonly SnapshotFamily[] = [
  gauge(
    'weir_certificate_expiry_timestamp_seconds',
    'When the certificate ends, since 1970.',
    ({ certificates }) =>
      certificates.map(({ labels: own, row }): Sample => [
        '',
        own,
        row.notAfter === 0 ? null : row.notAfter / 1000,
      ]),
    'seconds',
  ),
  gauge('weir_certificate_usable', '1: nothing keeps it from being used.', ({ certificates }) =>
    certificates.map(({ labels: own, row }): Sample => ['', own, row.problem === null ? 1 : 0]),
  ),
  gauge(
    'weir_disk_free_bytes',
    'Room on the file system of a directory that the unit writes to.',
    ({ disks }) => disks.map(({ directory, free }): Sample => ['', labels({ directory }), free]),
    'bytes',
  ),
  gauge(
    'weir_disk_size_bytes',
    'Size of that file system.',
    ({ disks }) => disks.map(({ directory, size }): Sample => ['', labels({ directory }), size]),
    'bytes',
  ),
  counter(
    'weir_process_cpu_seconds',
    'CPU time of the daemon, without its workers.',
    ({ process }) => one(process.cpu),
    'seconds',
  ),
  gauge(
    'weir_process_resident_memory_bytes',
    'Memory of the daemon, without its workers.',
    ({ process }) => one(process.residentBytes),
    'bytes',
  ),
  gauge(
    'weir_process_heap_bytes',
    "Of that, JavaScript's heap in use.",
    ({ process }) => one(process.heapBytes),
    'bytes',
  ),
  gauge('weir_process_open_fds', 'Descriptors that the daemon has open.', ({ process }) =>
    one(process.openFiles),
  ),
  counter(
    'weir_process_event_loop_active_seconds',
    "How long the daemon's loop was busy.",
    ({ process }) => one(process.loopActive),
    'seconds',
  ),
  {
    ...{ name: 'weir_process_event_loop_delay_seconds', type: 'summary', unit: 'seconds' },
    help: "How late the daemon's loop was, since it started.",
    samples: ({ process }) =>
      process.loopDelay.map(([quantile, value]): Sample => ['', labels({ quantile }), value]),
  },
];

export const FAMILIES: readonly SnapshotFamily[] = [
  ...UNIT,
  ...SERVICE_FAMILIES,
  ...ROUTE_FAMILIES,
  ...POOL_FAMILIES,
  ...MEMBER_FAMILIES,
  ...FAST_PATH,
  ...WORKERS,
  ...PAIR,
  ...REST,
];
