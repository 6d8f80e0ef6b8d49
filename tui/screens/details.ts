/**
 * One service, one pool or one member: what it is, how it is off and why, and what led there.
 */
import type {
  FindingRow,
  FlowRow,
  MemberDetail,
  PoolDetail,
  ProxyTraffic,
  RouteRow,
  ServiceDetail,
} from '../../appliance/api/contract.js';
import {
  bitsPerSecond,
  duration,
  endpoint,
  milliseconds,
  perSecond,
  plural,
  quantity,
  timestamp,
} from '../../appliance/cli/format.js';
import type { HistoryMeasure } from '../../appliance/api/history-contract.js';
import { sparkline } from '../../appliance/cli/sparkline.js';
import { chart } from '../chart.js';
import { memberColumns, stateStyle, stateText, trackOf } from '../columns.js';
import { beside, heading, span, wrap, type Line } from '../frame.js';
import { secondsOfColumn, type Measure } from '../history.js';
import { tableState, type Model } from '../model.js';
import { answerOf, FIRST_SPAN } from '../topics.js';
import { selectedIndex, tableLines } from '../table.js';
import { SPAN_WORDS, trafficColumns, trafficNow } from '../traffic.js';
import { membersOf } from './tables.js';
import { factLines, whole } from './tiers.js';
import { waiting } from './overview.js';

type Fact = readonly [name: string, value: string];

/** Null while the answer is not there yet, or when there is no such thing; then lines that say so. */
function missing(model: Model, problem: string | null): Line[] {
  if (problem === null) return waiting(model);
  return [
    ...wrap(problem, 76).map((line): Line => [span(model.look, line, 'bad')]),
    [span(model.look, 'Esc goes back.', 'dim')],
  ];
}

export function serviceScreen(model: Model, width: number): Line[] {
  const { value, problem } = answerOf(model, 'service');
  if (value === null) return missing(model, problem);
  const { look } = model;
  const facts: Fact[] = [
    ['Listens', `${endpoint(value.address, value.port)}/${value.protocol}`],
    ['Tier', `${value.tier}: ${value.tierReason}`],
    ...(value.forwarding === null ? [] : [['Forwarding', value.forwarding] as const]),
    [
      'Pool',
      value.servedBy === value.pool ? value.pool || '-' : `${value.servedBy} for ${value.pool}`,
    ],
    ['Members', `${value.membersServing} of ${value.membersTotal} serving`],
    ...trafficFacts(value),
    ...(value.synCookies === null
      ? []
      : [
          [
            'Cookies',
            `${value.synCookies.on ? 'on' : 'off'}: ${quantity(value.synCookies.sent)} sent, ${quantity(value.synCookies.accepted)} brought back, ${quantity(value.synCookies.rejected)} wrong`,
          ] as const,
        ]),
  ];
  return [
    [
      span(look, `Service ${value.name}  `, 'bold'),
      span(look, stateText(look, value.state), stateStyle(value.state)),
    ],
    ...factLines(model, facts, width, value.tier === 'none' ? 'Tier' : ''),
    [],
    ...serviceCharts(model, value.proxy !== null, width),
    ...routeLines(model, value, width),
    ...flowLines(model, width),
  ];
}

function trafficFacts(row: Pick<ServiceDetail, 'rates' | 'totals' | 'proxy'>): Fact[] {
  const { rates, totals, proxy } = row;
  const forwarded: Fact[] =
    proxy !== null && totals.packets === 0
      ? []
      : [
          [
            'Now',
            `${perSecond(rates.flowsPerSecond)} flows, ${perSecond(rates.packetsPerSecond)} packets, ${bitsPerSecond(rates.bitsPerSecond)}`,
          ],
          [
            'So far',
            `${quantity(totals.flows)} flows, ${quantity(totals.packets + totals.replyPackets)} packets, ${quantity(totals.bytes + totals.replyBytes)}B`,
          ],
        ];
  return [...forwarded, ...(proxy === null ? [] : proxyFacts(proxy))];
}

function proxyFacts({ rates, latency, totals, active, underWay, queued }: ProxyTraffic): Fact[] {
  const { responses } = totals;
  const classes = (['2xx', '3xx', '4xx', '5xx'] as const).map(
    (name) => `${quantity(responses[name])} ${name}`,
  );
  const open = [
    ...(active === null ? [] : [`${plural(active, 'client connection')} open`]),
    ...(underWay === null ? [] : [`${plural(underWay, 'request')} under way`]),
    ...(queued === null ? [] : [`${queued} waiting`]),
  ];
  return [
    [
      'Requests',
      `${perSecond(rates.requestsPerSecond)}, ${perSecond(rates.errorsPerSecond)} of them 5xx; ${bitsPerSecond(rates.bitsPerSecond)}`,
    ],
    [
      'Latency',
      latency === null
        ? 'nothing ended in the last 10 s'
        : `p50 ${milliseconds(latency.p50)}, p90 ${milliseconds(latency.p90)}, p99 ${milliseconds(latency.p99)}, at most ${milliseconds(latency.max)}`,
    ],
    ['Answers', `${classes.join(', ')}; ${quantity(totals.retries)} retries`],
    ...(open.length === 0 ? [] : [['Open', open.join(', ')] as const]),
  ];
}

const CHART_HEIGHT = 4;

/** By the daemon's history, as far back as is wanted. */
function serviceCharts(model: Model, proxied: boolean, width: number): Line[] {
  const { look, place } = model;
  const each = Math.floor((width - 1) / 2);
  const columns = each - 1;
  const history = answerOf(model, 'traffic').value;
  const draw = (
    measures: readonly HistoryMeasure[],
    title: string,
    format: (value: number) => string,
  ): Line[] =>
    chart(look, history === null ? [] : trafficColumns(history, measures, columns), {
      ...{ title, format, width: columns, height: CHART_HEIGHT, style: 'accent' },
      now: history === null ? null : trafficNow(history, measures),
    });
  const bits = draw(['bitsIn', 'bitsOut'], 'Traffic', bitsPerSecond);
  const others = proxied
    ? draw(['requests'], 'Requests', perSecond)
    : draw(['connections'], 'Flows', perSecond);
  return [
    heading(look, 'Traffic', width, `${SPAN_WORDS[place.span ?? FIRST_SPAN]} (t)`),
    ...beside(look, [
      { width: each, lines: bits },
      { width: each, lines: others },
    ]),
    [],
  ];
}

function trafficCharts(model: Model, track: string, proxied: boolean, width: number): Line[] {
  const { look, history } = model;
  const each = Math.floor((width - 1) / 2);
  const columns = each - 1;
  const seconds = secondsOfColumn(columns);
  const second = proxied ? 'requests' : 'connections';
  const draw = (measure: Measure, title: string, format: (value: number) => string): Line[] =>
    chart(look, history.averages(track, measure, seconds, columns), {
      ...{ title, format, width: columns, height: CHART_HEIGHT, style: 'accent' },
      now: history.newest(track, measure),
    });
  const bits = draw('bits', 'Traffic', bitsPerSecond);
  const others = draw(second, proxied ? 'Requests' : 'Flows', perSecond);
  return [
    ...beside(look, [
      { width: each, lines: bits },
      { width: each, lines: others },
    ]),
    [],
  ];
}

function routeLines(model: Model, { routes }: ServiceDetail, width: number): Line[] {
  if (routes.length === 0) return [];
  const rows = whole<RouteRow>(
    model,
    routes,
    [
      { title: 'ROUTE', value: ({ route }) => route, shrinkTo: 8 },
      { title: 'IF', value: ({ conditions }) => conditions || 'always', shrinkTo: 12 },
      { title: 'DOES', value: ({ action, target }) => `${action} ${target}`, shrinkTo: 12 },
      {
        title: 'SHARE',
        align: 'right',
        value: ({ share }) => (share === null ? '-' : `${(share * 100).toFixed(0)}%`),
      },
      {
        title: 'REQ/S',
        align: 'right',
        value: ({ proxy }) => perSecond(proxy.rates.requestsPerSecond),
      },
    ],
    width,
  );
  return [heading(model.look, 'Routes', width), ...rows, []];
}

function flowLines(model: Model, width: number): Line[] {
  const { value, problem } = answerOf(model, 'flows');
  if (problem !== null) return [[span(model.look, problem, 'bad')]];
  if (value === null || value.length === 0) return [];
  const rows = whole<FlowRow>(
    model,
    value,
    [
      { title: 'CLIENT', value: (row) => endpoint(row.clientAddress, row.clientPort) },
      { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8 },
      { title: 'MEMBER', value: ({ member }) => member, shrinkTo: 14 },
      { title: 'PROTOCOL', value: ({ protocol }) => protocol, goes: 1 },
      { title: 'IDLE', align: 'right', value: ({ idleMs }) => duration(idleMs) },
    ],
    width,
  );
  return [heading(model.look, 'Flows', width, 'of the fast path'), ...rows];
}

export function poolScreen(model: Model, width: number, height: number): Line[] {
  const { value, problem } = answerOf(model, 'pool');
  if (value === null) return missing(model, problem);
  const { look } = model;
  const facts: Fact[] = [
    ['Algorithm', `${value.algorithm}; monitor ${value.monitor ?? 'none'}`],
    ['Services', value.services.join(', ') || '-'],
    ['Now', value.now],
    ['When down', value.whenDown],
    ...trafficFacts(value).slice(0, 2),
  ];
  const head: Line[] = [
    [span(look, `Pool ${value.name}  `, 'bold'), span(look, musterText(value), musterStyle(value))],
    ...factLines(model, facts, width, value.muster === 'enough' ? '' : 'Now'),
  ];
  const rows = membersOf(model);
  const state = tableState(model);
  const table = tableLines(look, {
    ...{ rows, state, width },
    height: Math.max(2, height - head.length - 1),
    columns: memberColumns(model, false),
    selected: selectedIndex(rows, ({ member }) => member, state),
  });
  const note = state.filter === '' ? '' : `filter: ${state.filter}`;
  return [...head, heading(look, 'Members', width, note), ...table];
}

function musterText({ membersAble, membersTotal, membersNeeded }: PoolDetail): string {
  return `${membersAble} of ${membersTotal} able, ${membersNeeded} needed`;
}

function musterStyle({ muster }: PoolDetail): 'good' | 'warning' | 'bad' {
  if (muster === 'enough') return 'good';
  return muster === 'none' ? 'bad' : 'warning';
}

export function memberScreen(model: Model, width: number): Line[] {
  const { value, problem } = answerOf(model, 'member');
  if (value === null) return missing(model, problem);
  const { look, now } = model;
  const hop =
    value.nextHop === null
      ? (value.nextHopProblem ?? 'as the kernel routes')
      : [
          value.nextHop.mac,
          'on',
          value.nextHop.interface,
          ...value.nextHop.vlan.map((id) => `vlan ${id}`),
        ].join(' ');
  const facts: Fact[] = [
    ['Reason', value.reason],
    ['Since', `${timestamp(value.since)} (${duration(now - value.since)})`],
    [
      'Weight',
      `${value.weight}, now ${quantity(value.effectiveWeight)}${value.backup ? '; a backup' : ''}`,
    ],
    ['Next hop', hop],
    ...trafficFacts(value),
    ...monitorFacts(model, value),
  ];
  const mute = value.nextHop === null && value.nextHopProblem !== null ? 'Next hop' : '';
  return [
    [
      span(look, `Member ${value.member} of pool ${value.pool}  `, 'bold'),
      span(look, stateText(look, value.state), stateStyle(value.state)),
    ],
    ...factLines(model, facts, width, value.state === 'DOWN' ? 'Reason' : mute),
    [],
    heading(look, 'Health history', width),
    ...findingLines(model, value.findings, width),
    [],
    ...trafficCharts(model, trackOf.member(value.pool, value.member), value.proxy !== null, width),
    ...flowLines(model, width),
  ];
}

function monitorFacts(
  { look, now }: Model,
  { health, latenciesMs, probeSharedWith }: MemberDetail,
): Fact[] {
  if (health === null) return [['Monitor', 'none']];
  const probed =
    health.lastProbe === null
      ? 'not probed yet'
      : `last probe ${duration(now - health.lastProbe)} ago`;
  const oldestFirst = [...latenciesMs].reverse();
  const last = latenciesMs[0];
  return [
    ['Monitor', `${health.monitor}: ${health.reason}, ${probed}`],
    ...(last === undefined
      ? []
      : [
          [
            'Probes',
            `${milliseconds(last)}${health.responseTimeUs === null ? '' : `, on average ${milliseconds(health.responseTimeUs / 1000)}`}  ${sparkline(look, oldestFirst, latenciesMs.length)}`,
          ] as const,
        ]),
    ...(health.agent === null ? [] : [['Agent', health.agent.state] as const]),
    ...(probeSharedWith.length === 0
      ? []
      : [['Shared', `the same probe speaks for ${probeSharedWith.join(', ')}`] as const]),
  ];
}

function findingLines({ look }: Model, findings: readonly FindingRow[], width: number): Line[] {
  if (findings.length === 0) {
    return [[span(look, '  Nothing failed and nothing changed so far.', 'dim')]];
  }
  return findings.flatMap(({ kind, time, last, count, text }) => {
    const again = count === 1 ? '' : ` (${count} times, last ${timestamp(last)})`;
    const lines = wrap(`${text}${again}`, Math.max(20, width - 32));
    return lines.map((line, index): Line => [
      span(look, `  ${index === 0 ? timestamp(time) : ' '.repeat(19)}  `, 'dim'),
      span(look, (index === 0 ? kind : '').padEnd(8), kind === 'change' ? 'bold' : 'warning'),
      span(look, line),
    ]);
  });
}
