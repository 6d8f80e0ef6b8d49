/**
 * `status`: is the unit well, in one look.
 *
 * Invariant: what needs attention (alarms, a change that waits for confirmation) is
 * always shown, in words.
 */
import type { Command } from 'commander';
import { rank } from '../config/severities.js';
import type { Alarm, MemberRow, MetricsView, Status } from '../api/contract.js';
import { examples } from './arguments.js';
import { causesOf, type Cause } from './causes.js';
import { answer, clientOf, type Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { routerLine } from './pair-standing.js';
import { clean, duration, paint, plural, severityColour } from './format.js';

export function addStatusCommand(program: Command, context: Context): void {
  program
    .command('status')
    .summary('is the unit well?')
    .description(
      'Shows unit, version, revision, role, members that serve, and alarms: members that are down\n' +
        'for one common reason in one line. With --json every alarm by itself.',
    )
    .option(
      '--check',
      `end with exit status ${EXIT.attention} while there is an alarm or a change awaits confirmation`,
    )
    .addHelpText(
      'after',
      examples(
        ['weir status', 'one look'],
        ['weir status --check > /dev/null', 'for monitoring: 0 well, 8 alarms, 3 no daemon'],
        ["weir status --json | jq '.alarms | length'", 'how many alarms'],
      ),
    )
    .action(async ({ check }: { readonly check?: boolean }, command: Command) => {
      const client = clientOf(command, context);
      const status = await client.json<Status>({ path: '/v1/status' });
      await answer(command, context, status, async () => {
        const grouped = status.alarms.filter(isMemberAlarm).length > 1;
        const members = grouped ? await client.json<MemberRow[]>({ path: '/v1/members' }) : [];
        return statusText(context, status, causesOf(members));
      });
      if (check === true && status.alarms.length > 0) process.exitCode = EXIT.attention;
    });
}

const isMemberAlarm = ({ code }: Alarm): boolean =>
  code === 'member-down' || code === 'next-hop-unresolved';

function statusText(context: Context, status: Status, causes: readonly Cause[]): string {
  const serving = `${status.membersServing} of ${plural(status.membersTotal, 'member')} serving`;
  const routers = routerLine(status.routers);
  const lines: [string, string][] = [
    ['Unit', `${status.unit || '(no name yet)'} (${status.role})`],
    ['Version', `${status.version}, kernel ${status.kernel}`],
    ['Uptime', duration(status.uptimeMs)],
    [
      'Revision',
      status.revision === null
        ? "none: nothing was applied yet, see 'weir apply'"
        : String(status.revision),
    ],
    ['Services', `${status.services}, ${serving}`],
    ...(routers === null ? [] : [['Routers', routers] satisfies [string, string]]),
  ];
  if (status.replication !== null) lines.push(['Pair', status.replication.message]);
  if (status.metrics !== null) lines.push(['Metrics', metricsLine(status.metrics)]);
  const text = lines.map(([name, value]) => `${name.padEnd(9)} ${clean(value)}\n`).join('');
  return text + pendingText(context, status) + alarmText(context, status, causes);
}

function metricsLine({ listening, token }: MetricsView): string {
  if (listening.length === 0) return 'not served: see the alarms';
  return `${listening.join(', ')}${token ? ', with a token' : ''}`;
}

function pendingText(context: Context, { pendingConfirm: pending }: Status): string {
  if (pending === null) return '';
  const back =
    pending.previous === null ? 'to no configuration' : `to revision ${pending.previous}`;
  const notice = `revision ${pending.revision} goes back ${back} in ${pending.secondsLeft} s unless confirmed: weir confirm`;
  return `${'Confirm'.padEnd(9)} ${paint(context.look, 'yellow', notice)}\n`;
}

/** More would push the rest off the screen. */
const MOST_LINES = 12;

/** What is worst first; that a change waits for confirmation stands above already. */
function alarmText(context: Context, status: Status, causes: readonly Cause[]): string {
  const alarms = status.alarms.filter(({ code }) => code !== 'confirm-pending');
  if (alarms.length === 0) return `${'Alarms'.padEnd(9)} none\n`;
  const single = alarms.filter((alarm) => causes.length === 0 || !isMemberAlarm(alarm));
  const found = [
    ...single.map(({ severity, code, message, since }) => {
      const age = since === null ? '' : `, for ${duration(context.now() - since)}`;
      return { severity, text: `${clean(message)} (${clean(code)}${age})` };
    }),
    ...causes.map(({ text, since }) => ({
      severity: 'warning' as const,
      text: `${text} (for ${duration(context.now() - since)})`,
    })),
  ].sort((a, b) => rank(b.severity) - rank(a.severity));
  const most = found.length > MOST_LINES + 1 ? MOST_LINES : found.length;
  const lines = found.slice(0, most).map(({ severity, text }) => {
    const colour = severityColour(severity);
    const line = `${severity}: ${text}`;
    return `  ${colour === null ? line : paint(context.look, colour, line)}\n`;
  });
  if (most < found.length) lines.push(`  and ${found.length - most} more: weir status --json\n`);
  return `${'Alarms'.padEnd(9)} ${alarms.length}\n${lines.join('')}`;
}
