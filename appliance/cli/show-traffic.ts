/**
 * `show traffic`: the history of the unit or a service, a line for each measure.
 *
 * Invariant: a column of which nothing is known stays blank; minimum and maximum are of the slots as
 * the daemon keeps them, not of columns, which average several.
 */
import { Option, type Command } from 'commander';
import { HISTORY_SPANS, type HistoryMeasure, type HistorySpan } from '../api/history-contract.js';
import type { TrafficHistory } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { bitsPerSecond, clean, duration, paint, perSecond, quantity, timestamp } from './format.js';
import { columnsOf, sparkline } from './sparkline.js';

const percent = (value: number): string => `${(value * 100).toFixed(1)}%`;

export const MEASURES: Readonly<
  Record<HistoryMeasure, readonly [title: string, format: (value: number) => string]>
> = {
  bitsIn: ['Bits in', bitsPerSecond],
  bitsOut: ['Bits out', bitsPerSecond],
  connections: ['Connections', perSecond],
  requests: ['Requests', perSecond],
  errors: ['Errors 5xx', perSecond],
  drops: ['Drops', perSecond],
  active: ['Active', quantity],
  membersUp: ['Members up', quantity],
  cpu: ['CPU', percent],
  memory: ['Memory', percent],
};

export function addTraffic(show: Command, context: Context): void {
  show
    .command('traffic')
    .argument('[service]', 'one service; left out: the whole unit')
    .summary('traffic of the last minutes, hours, days')
    .description(
      'Shows the history of the unit, or of one service, that the daemon keeps over its restarts:\n' +
        'a line for each measure, the newest at the right; blank where nothing is known.',
    )
    .addOption(new Option('--span <span>', 'how far back').choices(HISTORY_SPANS).default('1h'))
    .addHelpText(
      'after',
      examples(
        ['weir show traffic', 'of the unit, of the last hour'],
        ['weir show traffic shop --span 24h', 'of one service, of the last day'],
      ),
    )
    .action(
      async (
        service: string | undefined,
        { span }: { readonly span: HistorySpan },
        command: Command,
      ) => {
        const of = service === undefined ? 'unit' : `service:${service}`;
        const history = await clientOf(command, context).json<TrafficHistory>({
          ...{ path: '/v1/history', query: { of, span } },
        });
        await answer(command, context, history, () => trafficText(context, history));
      },
    );
}

function trafficText(context: Context, history: TrafficHistory): string {
  const { of, span, stepMs, newest } = history;
  const width = Math.max(20, Math.min(100, (context.width ?? 80) - 50));
  const head = `${clean(of)}, the last ${span} until ${timestamp(newest)}, by ${duration(stepMs)}\n`;
  const titles = `${''.padEnd(12)}${''.padEnd(width)} ${['MIN', 'AVG', 'MAX'].map((one) => one.padStart(11)).join('')}\n`;
  const lines = (Object.keys(MEASURES) as HistoryMeasure[]).flatMap((measure) => {
    const values = history.values[measure] ?? [];
    const known = values.filter((value) => value !== null);
    if (known.length === 0) return [];
    const [title, format] = MEASURES[measure];
    const average = known.reduce((sum, value) => sum + value, 0) / known.length;
    const numbers = [least(known), average, most(known)]
      .map((value) => format(value).padStart(11))
      .join('');
    return [
      `${title.padEnd(12)}${sparkline(context.look, columnsOf(values, width), width)} ${numbers}\n`,
    ];
  });
  if (lines.length === 0) return `${head}Nothing is known of that time yet.\n`;
  return `${head}${paint(context.look, 'dim', titles)}${lines.join('')}`;
}

function least(values: readonly number[]): number {
  return values.reduce((found, value) => Math.min(found, value), Infinity);
}

function most(values: readonly number[]): number {
  return values.reduce((found, value) => Math.max(found, value), 0);
}
