/** Metrics as text: by sample, by the rules of OpenMetrics, and equal to what the API says. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { timingsOf } from '../../../appliance/control/timings.js';
import {
  durationBuckets,
  durationSum,
  rowDoubles,
} from '../../../appliance/l7/telemetry/counter-layout.js';
import { bucketOf } from '../../../appliance/l7/telemetry/histogram.js';
import { FAMILIES } from '../../../appliance/metrics/families.js';
import { exposition, labels, type Family, type Format } from '../../../appliance/metrics/format.js';
import { acceptsGzip, formatFor } from '../../../appliance/metrics/negotiate.js';
import { Collector } from '../../../appliance/metrics/snapshot.js';
import { DURATION_BOUNDS } from '../../../appliance/metrics/traffic.js';
import { readOpenMetrics, readText, type ReadFamily } from '../../support/openmetrics.js';
import {
  COUNTERS,
  FakeDaemon,
  MEMBERS,
  POOLS,
  SERVICES,
  STATUS,
  TIERS,
} from '../api/fake-daemon.js';
import { PAIRED } from '../api/fake-pair.js';
import { PROXIED, PROXY } from '../api/proxy-rows.js';
import { fakeSource } from './source.js';

const test = suite('metrics: format');

const SAMPLE: readonly Family<number>[] = [
  {
    ...{ name: 'weir_things', type: 'counter', help: 'Things that were \\ seen\nby us.' },
    samples: (value) => [
      ['', labels({ name: 'a "b" \\ c\nd' }), value],
      ['', labels({ name: 'unknown' }), null],
    ],
  },
  {
    ...{ name: 'weir_wait_seconds', type: 'histogram', unit: 'seconds', help: 'How long.' },
    samples: () => [
      ['_bucket', 'le="0.5"', 1],
      ['_bucket', 'le="+Inf"', 3],
      ['_count', '', 3],
      ['_sum', '', 1e21],
    ],
  },
  { name: 'weir_nothing', type: 'gauge', help: 'Nobody knows.', samples: () => [['', '', null]] },
  {
    ...{ name: 'weir_build', type: 'info', help: 'What.' },
    samples: () => [['', labels({ version: '1' }), 1]],
  },
];

function written<S>(families: readonly Family<S>[], of: S, format: Format): string {
  return [...exposition(families, of, format)].join('');
}

test('OpenMetrics by sample', () => {
  assert.is(
    written(SAMPLE, 7, 'openmetrics'),
    `# TYPE weir_things counter
# HELP weir_things Things that were \\\\ seen\\nby us.
weir_things_total{name="a \\"b\\" \\\\ c\\nd"} 7
# TYPE weir_wait_seconds histogram
# UNIT weir_wait_seconds seconds
# HELP weir_wait_seconds How long.
weir_wait_seconds_bucket{le="0.5"} 1
weir_wait_seconds_bucket{le="+Inf"} 3
weir_wait_seconds_count 3
weir_wait_seconds_sum 1e+21
# TYPE weir_build info
# HELP weir_build What.
weir_build_info{version="1"} 1
# EOF
`,
  );
});

test('format 0.0.4 by sample', () => {
  assert.is(
    written(SAMPLE, 7, 'text'),
    `# HELP weir_things_total Things that were \\\\ seen\\nby us.
# TYPE weir_things_total counter
weir_things_total{name="a \\"b\\" \\\\ c\\nd"} 7
# HELP weir_wait_seconds How long.
# TYPE weir_wait_seconds histogram
weir_wait_seconds_bucket{le="0.5"} 1
weir_wait_seconds_bucket{le="+Inf"} 3
weir_wait_seconds_count 3
weir_wait_seconds_sum 1e+21
# HELP weir_build_info What.
# TYPE weir_build_info gauge
weir_build_info{version="1"} 1
`,
  );
});

async function scraped(format: Format): Promise<string> {
  const collector = new Collector();
  const daemon = new FakeDaemon();
  daemon.rows = { ...daemon.rows, services: [...SERVICES, PROXIED] };
  daemon.pair.current = PAIRED;
  try {
    return written(FAMILIES, await collector.collect(fakeSource(daemon)), format);
  } finally {
    collector.close();
  }
}

function valueOf(
  families: ReadonlyMap<string, ReadFamily>,
  name: string,
  wanted: Readonly<Record<string, string>> = {},
): number | undefined {
  const samples = [...families.values()].flatMap((family) => family.samples);
  const found = samples.filter(
    (one) =>
      one.name === name &&
      Object.entries(wanted).every(([key, value]) => one.labels[key] === value),
  );
  assert.ok(found.length <= 1, `${name} ${JSON.stringify(wanted)} is there ${found.length} times`);
  return found[0]?.value;
}

test('what a unit says keeps the rules of OpenMetrics, and both formats say the same', async () => {
  const open = readOpenMetrics(await scraped('openmetrics'));
  const text = readText(await scraped('text'));
  const names = (families: ReadonlyMap<string, ReadFamily>): string[] =>
    [...families.values()].flatMap(({ samples }) =>
      samples.map((one) => `${one.name} ${JSON.stringify(one.labels)}`),
    );
  assert.equal(names(open), names(text));
  assert.ok(open.size > 60, String(open.size));
});

test('names of families are there once, and say their unit', () => {
  const names = FAMILIES.map(({ name }) => name);
  assert.equal(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  );
  for (const { name, unit } of FAMILIES) {
    assert.ok(unit === undefined || name.endsWith(`_${unit}`), name);
    assert.match(name, /^weir_[a-z0-9_]+$/);
  }
});

test('every figure is what the API says', async () => {
  const families = readOpenMetrics(await scraped('openmetrics'));
  const is = (name: string, wanted: Record<string, string>, value: number | undefined): void => {
    assert.type(value, 'number');
    assert.is(valueOf(families, name, wanted), value, `${name} ${JSON.stringify(wanted)}`);
  };
  is('weir_start_time_seconds', {}, STATUS.startedAt / 1000);
  is('weir_revision', {}, STATUS.revision ?? 0);
  is('weir_confirm_pending', {}, 1);
  is('weir_alarms', { code: 'member-down', severity: 'error' }, 1);
  for (const row of SERVICES) {
    const service = row.name;
    is('weir_service_members_serving', { service }, row.membersServing);
    is('weir_service_state', { service, state: row.state }, 1);
    is('weir_service_flows_total', { service }, row.totals.flows);
    is('weir_service_bytes_total', { service, direction: 'in' }, row.totals.bytes);
    is('weir_service_bytes_total', { service, direction: 'out' }, row.totals.replyBytes);
    is('weir_service_answer_seconds_count', { service }, row.totals.answers);
    is('weir_service_answer_seconds_sum', { service }, row.totals.answerNs / 1e9);
    assert.is(valueOf(families, 'weir_service_requests_total', { service }), undefined);
  }
  const site = { service: PROXIED.name };
  const { totals } = PROXY;
  is('weir_service_requests_total', site, totals.requests);
  is('weir_service_open_connections', site, PROXY.active ?? NaN);
  for (const [reason, value] of Object.entries(totals.refused)) {
    is('weir_service_refused_total', { ...site, reason }, value);
  }
  for (const [name, value] of Object.entries(totals.responses)) {
    is('weir_service_responses_total', { ...site, class: name }, value);
  }
  for (const [reason, value] of Object.entries(totals.tls.failed)) {
    is('weir_service_tls_failures_total', { ...site, reason }, value);
  }
  is('weir_service_duration_seconds_count', site, 6);
  is('weir_service_duration_seconds_sum', site, 1.5);
  is('weir_service_duration_seconds_bucket', { ...site, le: '+Inf' }, 6);
  // A service of the proxy has no packets that the fast path counts.
  assert.is(valueOf(families, 'weir_service_flows_total', site), undefined);
  for (const row of POOLS) {
    is('weir_pool_members', { pool: row.name, state: 'UP' }, row.membersUp);
    is('weir_pool_members', { pool: row.name, state: 'DOWN' }, row.membersDown);
  }
  for (const row of MEMBERS) {
    const name = { pool: row.pool, member: row.member };
    is('weir_member_up', name, row.state === 'UP' ? 1 : 0);
    is('weir_member_effective_weight', name, row.effectiveWeight);
    is('weir_member_packets_total', { ...name, direction: 'in' }, row.totals.packets);
  }
  for (const [reason, value] of Object.entries(COUNTERS.drops)) {
    is('weir_dropped_packets_total', { reason }, value);
  }
  for (const { name, entries, limit } of TIERS[0]?.maps ?? []) {
    is('weir_table_limit', { table: name }, limit);
    assert.is(valueOf(families, 'weir_table_entries', { table: name }), entries ?? undefined);
  }
  for (const { address, up, rtt, clock } of PAIRED.links) {
    is('weir_pair_link_up', { link: address }, up ? 1 : 0);
    if (rtt !== null) is('weir_pair_link_round_trip_seconds', { link: address }, rtt / 1000);
    if (clock !== null)
      is('weir_pair_clock_difference_seconds', { link: address }, clock.ms / 1000);
  }
  is('weir_disk_free_bytes', { directory: '/var/lib/weir' }, 123);
  assert.ok((valueOf(families, 'weir_process_open_fds') ?? 0) > 2);
  assert.ok((valueOf(families, 'weir_process_resident_memory_bytes') ?? 0) > 1e6);
});

test('durations are counted by bounds that need no guess', () => {
  const row = new Float64Array(rowDoubles);
  const add = (micros: number, count: number): void => {
    row[durationBuckets + bucketOf(micros)]! += count;
    row[durationSum]! += micros * count;
  };
  add(1, 5);
  add(127, 2);
  add(128, 1);
  add(1_000_000, 3);
  add(1e9, 4);
  const { count, sum, within } = timingsOf(row);
  assert.is(count, 15);
  assert.is(sum, (5 + 254 + 128 + 3e6 + 4e9) / 1e6);
  assert.is(within.length, DURATION_BOUNDS.length);
  assert.equal(within.slice(0, 3), [7, 8, 8]);
  assert.is(within[DURATION_BOUNDS.findIndex((bound) => bound > 1)], 11);
  assert.is(within.at(-1), 11, 'what is longer is in no bound');
});

test('the format by what a client accepts', () => {
  const prometheus =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
  for (const [accept, format] of [
    [undefined, 'text'],
    ['*/*', 'text'],
    ['text/plain', 'text'],
    ['text/html', 'text'],
    [prometheus, 'openmetrics'],
    ['application/openmetrics-text', 'openmetrics'],
    ['application/openmetrics-text; version="1.0.0"; charset=utf-8', 'openmetrics'],
    ['application/openmetrics-text; version=2.0.0', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;q=0.3, text/plain;q=0.4', 'text'],
    ['application/openmetrics-text;q=nonsense', 'text'],
  ] as const) {
    assert.is(formatFor(accept), format, String(accept));
  }
  for (const [accept, is] of [
    [undefined, false],
    ['gzip', true],
    ['deflate, GZIP;q=0.1', true],
    ['gzip;q=0, *', false],
    ['*', true],
    ['br', false],
  ] as const) {
    assert.is(acceptsGzip(accept), is, String(accept));
  }
});

test.run();
