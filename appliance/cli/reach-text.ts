/** What the tests of the way print, and the dashboard shows. */
import type { EchoRow, PingResult, ResolveResult, TraceResult, TrialRow } from '../api/contract.js';
import type { Context } from './context.js';
import { clean, milliseconds, paint } from './format.js';

function echoText({ from, ms, text, result }: EchoRow): string {
  const time = ms === null ? '' : `  ${milliseconds(ms)}`;
  const who = from === null ? '' : `${from}${time}`;
  return result === 'reply' || result === 'expired'
    ? who
    : `${who}${who === '' ? '' : '  '}${text}`;
}

export function pingText(
  { look }: Pick<Context, 'look'>,
  { address, sent, received, answers }: PingResult,
): string {
  const times = answers.flatMap(({ ms, result }) =>
    result === 'reply' && ms !== null ? [ms] : [],
  );
  const spread =
    times.length === 0
      ? ''
      : `, ${milliseconds(Math.min(...times))} to ${milliseconds(Math.max(...times))}`;
  const lines = answers.map((row) =>
    row.result === 'reply' ? echoText(row) : paint(look, 'red', clean(echoText(row))),
  );
  return `${lines.join('\n')}\n${address}: ${received} of ${sent} answered${spread}\n`;
}

export function traceText(
  { look }: Pick<Context, 'look'>,
  { address, reached, hops }: TraceResult,
): string {
  const lines = hops.map((row, index) => {
    const text = row.result === 'silent' ? '*' : clean(echoText(row));
    return `${String(index + 1).padStart(2)}  ${text}`;
  });
  const end = reached ? '' : paint(look, 'red', `${address} was not reached`) + '\n';
  return `${lines.join('\n')}\n${end}`;
}

export function resolveText({ look }: Pick<Context, 'look'>, result: ResolveResult): string {
  const { name, servers, answers, problems, ms } = result;
  const lines = [
    ...answers.map(({ type, value }) => `${type.padEnd(4)}  ${clean(value)}`),
    ...problems.map((text) => paint(look, 'red', clean(text))),
    ...(answers.length + problems.length === 0 ? [`${clean(name)} has no address`] : []),
    `asked ${servers.join(', ')}, ${milliseconds(ms)}`,
  ];
  return `${lines.join('\n')}\n`;
}

export function tryText(
  { look }: Pick<Context, 'look'>,
  { monitor, outcome, reason, latencyMs }: TrialRow,
): string {
  const word = paint(look, outcome === 'pass' ? 'green' : 'red', outcome);
  const time = latencyMs === null ? '' : `, ${milliseconds(latencyMs)}`;
  return `${monitor}: ${word}: ${clean(reason)}${time}\n`;
}
