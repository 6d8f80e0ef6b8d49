/**
 * The overview: is it all right, and if not, what. Problems stand first, then the pair, traffic, services,
 * tiers and the newest events; a higher or wider terminal shows more of each.
 *
 * Invariant: no alarm is hidden without a line that counts those that are.
 */
import { rank } from '../../appliance/config/severities.js';
import type {
  Alarm,
  EventRow,
  ServiceRow,
  Severity,
  Status,
  TrafficHistory,
} from '../../appliance/api/contract.js';
import { bitsPerSecond, clock, duration, perSecond, plural } from '../../appliance/cli/format.js';
import { chart } from '../chart.js';
import { serviceColumns } from '../columns.js';
import { beside, fit, heading, span, wrap, type Line, type Look, type Style } from '../frame.js';
import type { HistoryMeasure } from '../../appliance/api/history-contract.js';
import { tableState, type Model } from '../model.js';
import { answerOf, FIRST_SPAN, isPaired } from '../topics.js';
import { selectedIndex, tableLines } from '../table.js';
import { SPAN_WORDS, trafficColumns, trafficNow } from '../traffic.js';
import { pairBlock, pairLine } from './roles.js';
import { carried } from './tiers.js';

/** Columns from which charts stand next to what they are of, and events next to services. */
const WIDE = 120;

export function overviewLines(model: Model, width: number, height: number): Line[] {
  const { look } = model;
  const status = answerOf(model, 'status').value;
  const services = answerOf(model, 'services').value;
  if (status === null || services === null) return waiting(model);
  const wide = width >= WIDE;
  const paired = isPaired(status);
  const problems = [
    ...problemLines(model, status, width, Math.max(3, Math.floor(height / 4))),
    ...(paired && !wide ? [pairLine(model, status, width)] : []),
  ];
  const left = height - problems.length;
  // Charts take what the services don't need, within bounds.
  const wanted = services.length + 2;
  const chartHeight = Math.max(
    2,
    Math.min(10, Math.floor((left - Math.min(wanted, left / 3)) / 3) - 1),
  );
  const charts = chartLines(model, services, width, chartHeight);
  const rest = left - charts.length;
  if (wide) {
    const half = Math.floor((width - 1) * 0.58);
    const other = width - 1 - half;
    const pair = paired ? pairBlock(model, status, other, Math.floor(rest / 3)) : [];
    const right = [...pair, ...tierLines(model, services, other)];
    const columns = beside(look, [
      { width: half, lines: serviceBlock(model, services, half, rest) },
      { width: other, lines: [...right, ...eventBlock(model, other, rest - right.length)] },
    ]);
    return [...problems, ...charts, ...columns];
  }
  const tiers = tierLines(model, services, width);
  const eventRoom = Math.max(3, Math.floor(rest / 3));
  const serviceRoom = Math.max(3, Math.min(wanted, rest - tiers.length - eventRoom));
  const events = eventBlock(model, width, rest - tiers.length - serviceRoom);
  return [
    ...problems,
    ...charts,
    ...serviceBlock(model, services, width, serviceRoom),
    ...tiers,
    ...events,
  ];
}

export function waiting({ look, link, socket }: Model): Line[] {
  const text =
    link.state === 'lost' ? `Not connected: ${link.why}` : `Asking the daemon on ${socket} …`;
  return [[], ...wrap(text, 76).map((line): Line => [span(look, `  ${line}`)])];
}

const SIGNS: Readonly<Record<Severity, readonly [sign: string, ascii: string, style: Style]>> = {
  error: ['✖', 'x', 'bad'],
  warning: ['▲', '!', 'warning'],
  info: ['·', '-', 'plain'],
};

export function severityMark({ unicode }: Pick<Look, 'unicode'>, severity: Severity): string {
  const [sign, ascii] = SIGNS[severity];
  return unicode ? sign : ascii;
}

export function severityStyle(severity: Severity): Style {
  return SIGNS[severity][2];
}

/** What is worst first, as many lines as there are at most. */
export function problemLines(model: Model, status: Status, width: number, most: number): Line[] {
  const { look, now } = model;
  const serving = `${status.membersServing} of ${plural(status.membersTotal, 'member')} serving`;
  const summary = `${plural(status.services, 'service')}, ${serving}`;
  const alarms = [...status.alarms].sort((a, b) => rank(b.severity) - rank(a.severity));
  if (status.revision === null) {
    return [
      [
        span(look, 'Nothing is configured yet. ', 'bold'),
        span(look, "Next: 7 begins here; or 'weir apply FILE'."),
      ],
    ];
  }
  if (alarms.length === 0) {
    const sign = look.unicode ? '●' : '+';
    return [[span(look, `${sign} All is well`, 'good'), span(look, `  ${summary}`)]];
  }
  const words = (severity: Severity, word: string): string[] => {
    const count = alarms.filter((alarm) => alarm.severity === severity).length;
    return count === 0 ? [] : [plural(count, word)];
  };
  const counted = [
    ...words('error', 'error'),
    ...words('warning', 'warning'),
    ...words('info', 'note'),
  ];
  const worst = alarms[0]?.severity ?? 'info';
  const head: Line = [
    span(look, `${severityMark(look, worst)} ${counted.join(', ')}`, severityStyle(worst)),
    span(look, `  ${summary}`),
  ];
  const shown = alarms.length <= most - 1 ? alarms : alarms.slice(0, Math.max(0, most - 2));
  const lines = shown.map((alarm) => fit(look, alarmLine(look, alarm, now), width));
  const hidden = alarms.length - shown.length;
  return [
    head,
    ...lines,
    ...(hidden === 0 ? [] : [[span(look, `  and ${hidden} more: weir status`, 'dim')]]),
  ];
}

function alarmLine(look: Look, { severity, message, since }: Alarm, now: number): Line {
  const age = since === null ? '' : ` (${duration(now - since)})`;
  return [
    span(look, `  ${severityMark(look, severity)} ${severity}`, severityStyle(severity)),
    span(look, `${age} ${message}`),
  ];
}

const CHARTS: readonly {
  readonly measures: readonly HistoryMeasure[];
  readonly title: string;
  readonly format: (value: number) => string;
  readonly style: Style;
}[] = [
  { measures: ['bitsIn', 'bitsOut'], title: 'Traffic', format: bitsPerSecond, style: 'accent' },
  { measures: ['connections'], title: 'Connections', format: perSecond, style: 'accent' },
  { measures: ['requests'], title: 'Requests', format: perSecond, style: 'accent' },
  { measures: ['errors'], title: 'Errors 5xx', format: perSecond, style: 'bad' },
];

/** Requests and their errors only where something serves requests. */
function chartLines(
  model: Model,
  services: readonly ServiceRow[],
  width: number,
  height: number,
): Line[] {
  const proxied = services.some(({ proxy }) => proxy !== null);
  const shown = proxied ? CHARTS : CHARTS.slice(0, 2);
  const each = Math.floor((width - (shown.length - 1)) / shown.length);
  const columns = Math.max(1, each - 1);
  const history = answerOf(model, 'traffic').value;
  const blocks = shown.map(({ measures, title, format, style }) => ({
    width: each,
    lines: chart(model.look, history === null ? [] : trafficColumns(history, measures, columns), {
      ...{ title, format, style, height, width: columns },
      now: history === null ? null : trafficNow(history, measures),
    }),
  }));
  const note = `${SPAN_WORDS[model.place.span ?? FIRST_SPAN]} (t)`;
  return [
    heading(model.look, 'Traffic', width, [loadOf(history), note].filter(Boolean).join(', ')),
    ...beside(model.look, blocks),
  ];
}

function loadOf(history: TrafficHistory | null): string {
  const cpu = history === null ? null : trafficNow(history, ['cpu']);
  const memory = history === null ? null : trafficNow(history, ['memory']);
  if (cpu === null || memory === null) return '';
  return `CPU ${(cpu * 100).toFixed(0)}%, memory ${(memory * 100).toFixed(0)}%`;
}

function serviceBlock(
  model: Model,
  services: readonly ServiceRow[],
  width: number,
  height: number,
): Line[] {
  const { look } = model;
  const well = services.filter(({ state }) => state === 'UP').length;
  const note = services.length === 0 ? '' : `${well} of ${services.length} up`;
  const head = heading(look, 'Services', width, note);
  if (services.length === 0) {
    return [
      head,
      [span(look, 'No services yet: 7 leads to the configuration, n makes one there.')],
    ];
  }
  const rows = byHealth(services);
  const table = tableLines(look, {
    ...{ rows, width },
    height: height - 1,
    columns: serviceColumns(model),
    state: tableState(model),
    selected: selectedIndex(rows, ({ name }) => name, tableState(model)),
  });
  return [head, ...table];
}

const HEALTH = { DOWN: 0, DEGRADED: 1, UP: 2 } as const;

/** What needs somebody first; else as in the document. */
export function byHealth(services: readonly ServiceRow[]): ServiceRow[] {
  return [...services].sort((a, b) => HEALTH[a.state] - HEALTH[b.state]);
}

/** One line a tier: what it carries now. */
function tierLines(model: Model, services: readonly ServiceRow[], width: number): Line[] {
  const lines = carried(model, services);
  return [
    heading(model.look, 'Tiers', width),
    ...(lines.length === 0 ? [[span(model.look, 'No tier carries anything.', 'dim')]] : lines),
  ];
}

function eventBlock(model: Model, width: number, height: number): Line[] {
  if (height < 2) return [];
  const { look } = model;
  const head = heading(look, 'Newest events', width);
  if (model.events === null) return [head, [span(look, 'Looking …', 'dim')]];
  const newest = model.events
    .filter(({ kind }) => !isFlowKind(kind))
    .slice(-(height - 1))
    .reverse();
  const lines =
    newest.length === 0
      ? [[span(look, 'Nothing happened since the daemon started.', 'dim')]]
      : newest.map((row) => fit(look, eventLine(look, row), width));
  return [head, ...lines];
}

export function isFlowKind(kind: string): boolean {
  return kind === 'flow-new' || kind === 'flow-moved' || kind === 'drop';
}

export function eventLine(look: Look, row: EventRow): Line {
  return [
    span(look, `${clock(row.time)} `, 'dim'),
    span(look, `${severityMark(look, row.severity)} `, severityStyle(row.severity)),
    span(look, row.message, row.severity === 'info' ? 'plain' : severityStyle(row.severity)),
  ];
}
