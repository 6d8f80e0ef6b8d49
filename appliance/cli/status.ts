/**
 * `status`: is the unit well, in one look.
 *
 * Invariant: what needs attention (alarms, a change that waits for confirmation) is
 * always shown, in words.
 */
import type { Command } from 'commander';
import type { Status } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { clean, duration, paint, plural, severityColour } from './format.js';

export function addStatusCommand(program: Command, context: Context): void {
  program
    .command('status')
    .summary('is the unit well?')
    .description('Shows unit, version, revision, role, members that serve, and alarms.')
    .addHelpText(
      'after',
      examples(
        ['weir status', 'one look'],
        ["weir status --json | jq '.alarms | length'", 'for a check'],
      ),
    )
    .action(async (_options: object, command: Command) => {
      const status = await clientOf(command, context).json<Status>({ path: '/v1/status' });
      await answer(command, context, status, () => statusText(context, status));
    });
}

function statusText(context: Context, status: Status): string {
  const serving = `${status.membersServing} of ${plural(status.membersTotal, 'member')} serving`;
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
  ];
  const text = lines.map(([name, value]) => `${name.padEnd(9)} ${clean(value)}\n`).join('');
  return text + pendingText(context, status) + alarmText(context, status);
}

function pendingText(context: Context, { pendingConfirm: pending }: Status): string {
  if (pending === null) return '';
  const back =
    pending.previous === null ? 'to no configuration' : `to revision ${pending.previous}`;
  const notice = `revision ${pending.revision} goes back ${back} in ${pending.secondsLeft} s unless confirmed: weir confirm`;
  return `${'Confirm'.padEnd(9)} ${paint(context.look, 'yellow', notice)}\n`;
}

function alarmText(context: Context, { alarms }: Status): string {
  if (alarms.length === 0) return `${'Alarms'.padEnd(9)} none\n`;
  const lines = alarms.map(({ severity, code, message, since }) => {
    const age = since === null ? '' : `, for ${duration(context.now() - since)}`;
    const text = `${severity}: ${clean(message)} (${clean(code)}${age})`;
    const colour = severityColour(severity);
    return `  ${colour === null ? text : paint(context.look, colour, text)}\n`;
  });
  return `${'Alarms'.padEnd(9)} ${alarms.length}\n${lines.join('')}`;
}
