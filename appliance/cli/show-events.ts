/**
 * `show events` and what follows the stream. Events of single flows are many a second and
 * drown the rest, so they are shown only when they are asked for.
 *
 * Invariant: with `--follow` no event is shown twice and none is lost between those
 * of the past and those of the stream: the stream is opened first, and sequence
 * numbers decide.
 */
import { InvalidArgumentError, type Command } from 'commander';
import {
  EVENT_KINDS,
  USUAL_EVENT_KINDS,
  type CounterDeltas,
  type CounterSet,
  type EventKind,
  type EventRow,
  type Severity,
  type StreamMessage,
} from '../api/contract.js';
import { isAtLeast, SEVERITIES } from '../config/severities.js';
import { examples, wholeNumber } from './arguments.js';
import { answer, clientOf, type Context, wantsJson } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import {
  bitsPerSecond,
  clean,
  clock,
  paint,
  perSecond,
  severityColour,
  timestamp,
} from './format.js';

interface EventOptions {
  readonly limit: number;
  readonly follow?: boolean;
  readonly kind?: readonly EventKind[];
  readonly all?: boolean;
  readonly severity?: Severity;
}

function parseKinds(text: string): EventKind[] {
  return text.split(',').map((word) => {
    const kind = EVENT_KINDS.find((one) => one === word);
    if (kind === undefined) {
      throw new InvalidArgumentError(`Give one or several of ${EVENT_KINDS.join(',')}.`);
    }
    return kind;
  });
}

function parseSeverity(text: string): Severity {
  const severity = SEVERITIES.find((one) => one === text);
  if (severity === undefined) throw new InvalidArgumentError(`Give ${SEVERITIES.join(', ')}.`);
  return severity;
}

export function addEvents(show: Command, context: Context): void {
  show
    .command('events')
    .summary('what happened')
    .description(
      'Lists the latest events, oldest first. Those of single flows (flow-new, flow-moved, drop)\n' +
        'are shown only when asked for. With --follow and --json: one JSON object a line.',
    )
    .option('--limit <number>', 'at most so many of the past', wholeNumber(1, 100_000), 50)
    .option('--kind <kinds>', 'only these kinds, with commas between them', parseKinds)
    .option('--severity <least>', 'only of this severity or graver', parseSeverity)
    .option('--all', 'every kind, those of single flows too')
    .option('--follow', 'go on with new ones as they happen, until interrupted')
    .addHelpText(
      'after',
      `${examples(
        ['weir show events', 'the latest 50'],
        ['weir show events --follow', 'and what happens from now on'],
        ['weir show events --kind member-state,revision', 'who came, who went, who changed what'],
        ['weir show events --severity warning', 'what somebody should have looked at'],
        ['weir show events --kind drop --follow', 'which packets are dropped, and why'],
      )}\n\nKinds: ${EVENT_KINDS.join(', ')}\n\nSeverities, from the least grave on: ${SEVERITIES.join(', ')}`,
    )
    .action(async (options: EventOptions, command: Command) => {
      if (options.follow === true) {
        await followEvents(options, command, context);
        return;
      }
      const rows = await clientOf(command, context).json<EventRow[]>({
        path: '/v1/events',
        query: queryOf(options),
      });
      await answer(command, context, rows, () =>
        rows.length === 0 ? 'No events.\n' : rows.map((row) => eventLine(context, row)).join(''),
      );
    });
}

function kindsOf({ kind, all }: EventOptions): readonly EventKind[] {
  return kind ?? (all === true ? EVENT_KINDS : USUAL_EVENT_KINDS);
}

function queryOf(options: EventOptions): Record<string, string | number> {
  const { limit, severity } = options;
  return {
    limit,
    kind: kindsOf(options).join(),
    ...(severity === undefined ? {} : { severity }),
  };
}

async function followEvents(
  options: EventOptions,
  command: Command,
  context: Context,
): Promise<void> {
  const client = clientOf(command, context);
  const json = wantsJson(command);
  const kinds = kindsOf(options);
  let shown = 0;
  /** Number of the last event of the stream, shown or not. */
  let streamed = 0;
  /** What the stream brought while the past was still being fetched. */
  let waiting: EventRow[] | null = [];
  const show = (row: EventRow): void => {
    if (row.sequence <= shown) return;
    shown = row.sequence;
    if (json) context.out(`${JSON.stringify(row)}\n`);
    else context.say(eventLine(context, row));
  };
  const aborter = new AbortController();
  const fetchPast = async (): Promise<void> => {
    const rows = await client.json<EventRow[]>({
      path: '/v1/events',
      query: queryOf(options),
    });
    for (const row of [...rows, ...(waiting ?? [])]) show(row);
    waiting = null;
  };
  const run: { past: Promise<void> | null } = { past: null };
  const onMessage = (message: StreamMessage): void => {
    if (message.type === 'hello' && run.past === null) {
      run.past = fetchPast();
      // Thrown below, where it is awaited; here it only ends the stream.
      run.past.catch(() => aborter.abort());
    }
    if (message.type !== 'event') return;
    const { event } = message;
    if (streamed > 0 && event.sequence > streamed + 1) {
      context.err(`(${event.sequence - streamed - 1} events were missed)\n`);
    }
    streamed = event.sequence;
    if (!kinds.includes(event.kind)) return;
    if (!isAtLeast(event.severity, options.severity ?? 'info')) return;
    if (waiting === null) show(event);
    else waiting.push(event);
  };
  const call = { path: '/v1/stream', query: { topics: 'events' } };
  await client.stream(call, onMessage, aborter.signal);
  await run.past;
  throw ended();
}

function eventLine(context: Context, row: EventRow): string {
  const colour = severityColour(row.severity);
  const message = clean(row.message);
  const text = colour === null ? message : paint(context.look, colour, message);
  const when = paint(context.look, 'dim', timestamp(row.time));
  // The severity in words too: colour alone tells nothing in a log.
  const severity = row.severity === 'info' ? '' : `${row.severity}: `;
  return `${when}  ${clean(row.kind).padEnd(15)} ${severity}${text}\n`;
}

export async function followCounters(command: Command, context: Context): Promise<void> {
  const json = wantsJson(command);
  await clientOf(command, context).stream(
    { path: '/v1/stream', query: { topics: 'counters' } },
    (message) => {
      if (message.type !== 'counters') return;
      if (json) context.out(`${JSON.stringify(message.counters)}\n`);
      else context.say(counterLine(message.counters));
    },
  );
  throw ended();
}

function counterLine(counters: CounterDeltas): string {
  const services = Object.values(counters.services);
  const rate = (of: (set: CounterSet) => number): number =>
    (services.reduce((sum, set) => sum + of(set), 0) * 1000) / counters.intervalMs;
  const flows = perSecond(rate((set) => set.flows));
  const packets = perSecond(rate((set) => set.packets + set.replyPackets));
  const bits = bitsPerSecond(rate((set) => (set.bytes + set.replyBytes) * 8));
  const drops = Object.entries(counters.drops).map(
    ([reason, count]) => `${clean(reason)} ${count}`,
  );
  return `${clock(counters.time)}  flows ${flows}  packets ${packets}  ${bits}  drops ${drops.join(', ') || '0'}\n`;
}

/** A stream only ends when the daemon does, or when the daemon gave this reader up. */
function ended(): CliError {
  return new CliError(
    EXIT.unreachable,
    'The daemon ended the stream: it was stopped, or this reader was too slow.',
  );
}
