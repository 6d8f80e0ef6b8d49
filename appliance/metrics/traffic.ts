/** Families of services, routes, pools and members: what both tiers count for them. */
import type { CounterSet, MemberState, ProxyTraffic } from '../api/contract.js';
import { boundText, labels, type Family, type Sample } from './format.js';
import type { Snapshot, Timings } from './snapshot.js';

/** Seconds: powers of two of a microsecond, where buckets of the workers begin, so that nothing is estimated. */
export const DURATION_BOUNDS: readonly number[] = Array.from(
  { length: 19 },
  (_, index) => 2 ** (index + 7) / 1e6,
);
const BOUND_LABELS = DURATION_BOUNDS.map((bound) => `le="${boundText(bound)}"`);

interface Row<R> {
  readonly labels: string;
  readonly row: R;
}
type Values<R> = (row: R) => readonly (readonly [extra: string, value: number | null])[];

const scaled = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
const single = (value: number | null): [string, number | null][] => [['', value]];
/** Labels that do not depend on the row are made once. */
function cases<R, K extends string>(
  label: string,
  words: readonly K[],
  value: (row: R, word: K) => number | null,
): Values<R> {
  const texts = words.map((word) => [labels({ [label]: word }), word] as const);
  return (row) => texts.map(([text, word]) => [text, value(row, word)]);
}

/** The samples of one family over all rows. */
function over<R>(rows: (of: Snapshot) => readonly Row<R>[], values: Values<R>) {
  return function* (of: Snapshot): Generator<Sample, void, void> {
    for (const { labels: own, row } of rows(of)) {
      for (const [extra, value] of values(row)) {
        yield ['', extra === '' ? own : `${own},${extra}`, value];
      }
    }
  };
}

interface Kind<R> {
  /** `weir_service` … */
  readonly prefix: string;
  readonly rows: (of: Snapshot) => readonly Row<R>[];
}

type Extra = Pick<Family<never>, 'unit'>;

function make<R>({ prefix, rows }: Kind<R>) {
  const family =
    (type: 'counter' | 'gauge') =>
    (name: string, help: string, values: Values<R>, extra: Extra = {}): Family<Snapshot> => ({
      ...{ name: `${prefix}_${name}`, type, help, samples: over(rows, values) },
      ...extra,
    });
  return { counter: family('counter'), gauge: family('gauge') };
}

const BYTES = { unit: 'bytes' } as const;
const DIRECTIONS = ['in', 'out'] as const;

interface Forwarded {
  readonly totals: CounterSet;
  readonly proxy: ProxyTraffic | null;
}

/** Of the fast path; those that the proxy alone serves have none. */
function forwarded<R extends Forwarded>(
  kind: Kind<R>,
  shown: (row: R) => boolean,
): Family<Snapshot>[] {
  const { counter } = make(kind);
  const of =
    (value: (totals: CounterSet) => number) =>
    (row: R): number | null =>
      shown(row) ? value(row.totals) : null;
  return [
    counter('flows', 'Flows begun in the fast path.', (row) => single(of((t) => t.flows)(row))),
    counter(
      'packets',
      'Packets of the fast path: in is to members, out is back where replies pass through the unit.',
      cases('direction', DIRECTIONS, (row, way) =>
        of((t) => (way === 'in' ? t.packets : t.replyPackets))(row),
      ),
    ),
    counter(
      'bytes',
      'Bytes of those packets.',
      cases('direction', DIRECTIONS, (row, way) =>
        of((t) => (way === 'in' ? t.bytes : t.replyBytes))(row),
      ),
      BYTES,
    ),
    counter(
      'resets',
      'Connections that members reset, where replies pass through the unit.',
      (row) => single(of((t) => t.resets)(row)),
    ),
    {
      name: `${kind.prefix}_answer_seconds`,
      type: 'summary',
      unit: 'seconds',
      help: 'Time that members took to answer handshakes, where replies pass through the unit.',
      *samples(snapshot) {
        for (const { labels: own, row } of kind.rows(snapshot)) {
          if (!shown(row)) continue;
          yield ['_count', own, row.totals.answers];
          yield ['_sum', own, row.totals.answerNs / 1e9];
        }
      },
    },
  ];
}

type Totals = ProxyTraffic['totals'];
const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
const REFUSED = [
  ...['rate', 'connections', 'queueFull', 'queueTimeout', 'noMember', 'badRequest', 'tooSlow'],
] as readonly (keyof Totals['refused'])[];
const TLS_FAILURES = [
  ...['gone', 'alert', 'incompatible', 'certificate', 'name', 'other'],
] as readonly (keyof Totals['tls']['failed'])[];

interface Proxied {
  readonly proxy: ProxyTraffic | null;
}

function requests<R extends Proxied>(kind: Kind<R>): Family<Snapshot>[] {
  const { counter } = make(kind);
  return [
    counter('requests', 'Requests; of tcp and tls connections.', ({ proxy }) =>
      single(proxy?.totals.requests ?? null),
    ),
    counter(
      'responses',
      'Answers by class.',
      cases('class', CLASSES, ({ proxy }, word) => proxy?.totals.responses[word] ?? null),
    ),
    counter(
      'content_bytes',
      'Content, without heads: in is from clients, out to them.',
      cases('direction', DIRECTIONS, ({ proxy }, way) =>
        proxy === null ? null : way === 'in' ? proxy.totals.bytesIn : proxy.totals.bytesOut,
      ),
      BYTES,
    ),
  ];
}

/** Of connections to members, for services, pools and members. */
function upstream<R extends Proxied>(kind: Kind<R>): Family<Snapshot>[] {
  const { counter } = make(kind);
  return [
    counter(
      'member_connects',
      'Connections to members: made, failed, or an open one used again.',
      cases('result', ['ok', 'failed', 'reused'], ({ proxy }, word) =>
        proxy === null ? null : proxy.totals.connects[word],
      ),
    ),
    counter('ejections', 'Members that were ejected for failures.', ({ proxy }) =>
      single(proxy?.totals.ejections ?? null),
    ),
    counter(
      'member_failures',
      'Answers that a member broke off or was too late with.',
      ({ proxy }) => single(proxy?.totals.memberFailures ?? null),
    ),
    counter(
      'tls_handshakes',
      'Handshakes of TLS, with clients or with members.',
      cases('kind', ['full', 'resumed'], ({ proxy }, word) => proxy?.totals.tls[word] ?? null),
    ),
    counter(
      'tls_failures',
      'Handshakes that failed.',
      cases('reason', TLS_FAILURES, ({ proxy }, word) => proxy?.totals.tls.failed[word] ?? null),
    ),
  ];
}

/** Sum and count; with buckets where `within` is wanted. */
function durations(
  prefix: string,
  help: string,
  rows: (of: Snapshot) => readonly { labels: string; timings: Timings | null }[],
  buckets: boolean,
): Family<Snapshot> {
  return {
    ...{ name: `${prefix}_duration_seconds`, type: buckets ? 'histogram' : 'summary' },
    ...{ unit: 'seconds', help },
    *samples(of) {
      for (const { labels: own, timings } of rows(of)) {
        if (timings === null) continue;
        if (buckets) {
          for (const [index, bound] of BOUND_LABELS.entries()) {
            yield ['_bucket', `${own},${bound}`, timings.within[index] ?? 0];
          }
          yield ['_bucket', `${own},le="+Inf"`, timings.count];
        }
        yield ['_count', own, timings.count];
        yield ['_sum', own, timings.sum];
      }
    },
  };
}

const SERVICE: Kind<Snapshot['services'][number]['row']> = {
  prefix: 'weir_service',
  rows: ({ services }) => services,
};
const service = make(SERVICE);

export const SERVICE_FAMILIES: readonly Family<Snapshot>[] = [
  {
    ...{ name: 'weir_service', type: 'info', help: 'What a service is, and which tier serves it.' },
    samples: ({ services }) =>
      services.map(({ row }): Sample => {
        const { name, address, port, protocol, tier, forwarding, pool } = row;
        const said = { service: name, address, port, protocol, tier, pool };
        return ['', labels({ ...said, forwarding: forwarding ?? '' }), 1];
      }),
  },
  service.gauge(
    'state',
    '1 for the state that a service has.',
    cases('state', ['UP', 'DEGRADED', 'DOWN'], ({ state }, word) => (state === word ? 1 : 0)),
  ),
  service.gauge('members_serving', 'Members of its pools that take new flows.', (row) =>
    single(row.membersServing),
  ),
  service.gauge('members', 'Members of its pools.', (row) => single(row.membersTotal)),
  ...forwarded(SERVICE, ({ proxy }) => proxy === null),
  service.gauge('syn_cookies_on', '1 while SYNs are answered by cookies.', ({ synCookies }) =>
    single(synCookies === null ? null : synCookies.on ? 1 : 0),
  ),
  service.counter(
    'syn_cookies',
    'SYN cookies: sent, brought back, or none of ours.',
    cases('result', ['sent', 'accepted', 'rejected'], ({ synCookies }, word) =>
      synCookies === null ? null : synCookies[word],
    ),
  ),
  service.counter('connections', 'Connections of clients to the proxy.', ({ proxy }) =>
    single(proxy?.totals.connections ?? null),
  ),
  service.gauge('open_connections', 'Those that are open now.', ({ proxy }) =>
    single(proxy?.active ?? null),
  ),
  ...requests(SERVICE),
  service.counter(
    'refused',
    'Requests and connections that the proxy refused.',
    cases('reason', REFUSED, ({ proxy }, word) => proxy?.totals.refused[word] ?? null),
  ),
  service.counter('retries', 'Further members that were tried.', ({ proxy }) =>
    single(proxy?.totals.retries ?? null),
  ),
  ...upstream(SERVICE),
  service.counter(
    'tls_versions',
    'Handshakes by version.',
    cases('version', ['1.2', '1.3'], ({ proxy }, word) => proxy?.totals.tls.versions[word] ?? null),
  ),
  service.counter('tls_early', 'Handshakes with which early data came.', ({ proxy }) =>
    single(proxy?.totals.tls.early ?? null),
  ),
  service.counter('upgrades', 'Connections that were upgraded.', ({ proxy }) =>
    single(proxy?.totals.upgrades ?? null),
  ),
  service.counter('client_aborts', 'Answers whose client was gone before their end.', ({ proxy }) =>
    single(proxy?.totals.clientAborts ?? null),
  ),
  service.counter('compressed_responses', 'Answers that the proxy compressed.', ({ proxy }) =>
    single(proxy?.totals.compressed.responses ?? null),
  ),
  service.counter(
    'compressed_bytes',
    'Bytes of those answers, before and after.',
    cases('side', ['before', 'after'], ({ proxy }, side) =>
      proxy === null ? null : proxy.totals.compressed[side === 'before' ? 'bytesIn' : 'bytesOut'],
    ),
    BYTES,
  ),
  durations(
    'weir_service',
    'Of requests, to the end of the answer; of tcp and tls until a member was connected.',
    ({ services }) => services,
    true,
  ),
];

const ROUTE: Kind<Snapshot['routes'][number]['row']> = {
  prefix: 'weir_route',
  rows: ({ routes }) => routes,
};

export const ROUTE_FAMILIES: readonly Family<Snapshot>[] = requests(ROUTE);

const POOL: Kind<Snapshot['pools'][number]['row']> = {
  prefix: 'weir_pool',
  rows: ({ pools }) => pools,
};
const pool = make(POOL);

export const POOL_FAMILIES: readonly Family<Snapshot>[] = [
  pool.gauge(
    'members',
    'Members by state.',
    cases('state', ['UP', 'DRAINING', 'DOWN', 'DISABLED'], (row, state: MemberState) => {
      const { membersUp, membersDraining, membersDown, membersDisabled } = row;
      const counts = {
        ...{ UP: membersUp, DRAINING: membersDraining },
        ...{ DOWN: membersDown, DISABLED: membersDisabled },
      };
      return counts[state];
    }),
  ),
  pool.gauge('requests_under_way', 'Requests that members work on now.', ({ proxy }) =>
    single(proxy?.underWay ?? null),
  ),
  pool.gauge('requests_queued', 'Requests that wait for a member with room.', ({ proxy }) =>
    single(proxy?.queued ?? null),
  ),
];

const MEMBER: Kind<Snapshot['members'][number]['row']> = {
  prefix: 'weir_member',
  rows: ({ members }) => members,
};
const member = make(MEMBER);

/** A state for each member would be four samples each: with thousands of members too many. */
const STATE_NUMBER: Readonly<Record<MemberState, number>> = {
  ...{ DISABLED: 0, DOWN: 1, DRAINING: 2, UP: 3 },
};

export const MEMBER_FAMILIES: readonly Family<Snapshot>[] = [
  member.gauge('up', '1: it takes new flows, if its pool asks it to.', ({ state }) =>
    single(state === 'UP' ? 1 : 0),
  ),
  member.gauge('state', '0: disabled, 1: down, 2: draining, 3: up.', ({ state }) =>
    single(STATE_NUMBER[state]),
  ),
  member.gauge(
    'healthy',
    '1: its monitor finds it up, 0: down. Not there: not probed yet.',
    (row) =>
      single(
        row.health === null || row.health.state === 'unknown'
          ? null
          : row.health.state === 'up'
            ? 1
            : 0,
      ),
  ),
  member.gauge(
    'probe_seconds',
    'Time of the last probe that was answered.',
    ({ health }) => single(scaled(health?.latencyMs ?? null)),
    { unit: 'seconds' },
  ),
  member.gauge('weight', 'In the document.', (row) => single(row.weight)),
  member.gauge('effective_weight', 'What the algorithm uses now.', (row) =>
    single(row.effectiveWeight),
  ),
  {
    ...{ name: 'weir_member_active_flows', type: 'gauge' },
    help: 'Flows in the flow table, which are all or only exceptions.',
    *samples({ members }) {
      for (const { labels: own, active } of members) yield ['', own, active];
    },
  },
  ...forwarded(MEMBER, ({ totals, proxy }) => proxy === null || totals.packets > 0),
  member.gauge('requests_under_way', 'Requests that it works on now.', ({ proxy }) =>
    single(proxy?.underWay ?? null),
  ),
  ...requests(MEMBER),
  ...upstream(MEMBER),
  durations(
    'weir_member',
    'From the request to the head of the answer; of tcp and tls until it was connected.',
    ({ members }) => members,
    false,
  ),
];
