/**
 * Says what a change did, or would do, and what happens next.
 *
 * Invariant: a change that waits for confirmation is never reported without saying
 * how to keep it and when it goes back.
 */
import type { ApplyResult, Change, Replication, RevisionRow } from '../api/contract.js';
import type { Context } from './context.js';
import { clean, clock, type Colour, duration, paint, plural } from './format.js';

const COLOURS: Readonly<Record<Change['kind'], Colour>> = {
  added: 'green',
  removed: 'red',
  changed: 'yellow',
};

/** One indented line a change. */
export async function changeLines(context: Context, changes: readonly Change[]): Promise<string> {
  if (changes.length === 0) return '';
  // Imported here: it brings the language's schema along, which takes longer to load
  // than all the rest, and most commands show no changes.
  const { formatChange } = await import('../config/changes.js');
  const lines = changes.map(
    (change) => `  ${paint(context.look, COLOURS[change.kind], clean(formatChange(change)))}\n`,
  );
  return lines.join('');
}

/** `what` is `Applied`, `Rolled back` … */
export async function describeChange(
  context: Context,
  what: string,
  result: ApplyResult,
): Promise<string> {
  const current = result.revision === null ? 'none' : String(result.revision);
  if (result.changes.length === 0) {
    return `Nothing to change: the current revision (${current}) says the same already.\n`;
  }
  const count = plural(result.changes.length, 'change');
  const head = result.dryRun
    ? `Would make ${count} to revision ${current} (nothing was changed):\n`
    : `${what}: revision ${current}, ${count}:\n`;
  return (
    head +
    (await changeLines(context, result.changes)) +
    onBoth(result.replication) +
    confirmNotice(context, result)
  );
}

/** What is on one unit only is a warning: see `warnOfChange`. */
export function onBoth(replication: Replication | undefined): string {
  return replication?.replicated === true ? `${replication.message}\n` : '';
}

/** What to know besides what was done. */
export function warnOfChange(
  context: Context,
  { replication, warnings = [] }: Pick<ApplyResult, 'replication'> & Partial<ApplyResult>,
): void {
  const alone = replication?.replicated === false ? [replication.message] : [];
  warn(context, [...alone, ...warnings]);
}

function confirmNotice(context: Context, result: ApplyResult): string {
  if (result.dryRun || result.confirmBy === undefined) return '';
  const left = duration(result.confirmBy - context.now() + 999);
  return (
    `\nThis holds for ${left}. To keep it:  weir confirm\n` +
    `Otherwise the unit goes back to what it had before at ${clock(result.confirmBy)}, by itself.\n`
  );
}

/** More would hide what was done from the screen. */
const MOST_WARNINGS = 5;

/** On stderr: they must not disturb what reads the answer. */
export function warn(context: Context, warnings: readonly string[]): void {
  const mark = paint(context.look, 'yellow', 'warning:');
  const most = warnings.length > MOST_WARNINGS + 1 ? MOST_WARNINGS : warnings.length;
  for (const warning of warnings.slice(0, most)) context.err(`${mark} ${clean(warning)}\n`);
  const rest = warnings.length - most;
  if (rest > 0) context.err(`${mark} and ${rest} more like these: weir status\n`);
}

/** A revision's changes in a few characters: `+2 -1 ~4`. */
export function summary(row: RevisionRow): string {
  const counts = { added: 0, removed: 0, changed: 0 };
  for (const { kind } of row.changes) counts[kind] += 1;
  const parts = [
    counts.added > 0 ? `+${counts.added}` : '',
    counts.removed > 0 ? `-${counts.removed}` : '',
    counts.changed > 0 ? `~${counts.changed}` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? '-' : parts.join(' ');
}
