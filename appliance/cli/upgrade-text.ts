/** What `weir upgrade` and the dashboard say of slots and upgrades. Pure. */
import type { UpgradeView } from '../api/contract.js';
import { clean, timestamp } from './format.js';

const PHASES: Readonly<Record<UpgradeView['phase'], string>> = {
  idle: 'nothing is under way',
  verifying: 'verifies the bundle',
  'other-unit': 'the other unit goes first',
  writing: 'writes the other slot and reads it back',
  'handing-over': 'hands its addresses over',
  armed: 'waits for the reboot, which tries the other slot',
  rebooting: 'reboots into the other slot',
  trying: 'tries this slot',
};

export function phaseText({ phase, progress, otherUnit, missing }: UpgradeView): string {
  const part =
    progress === null || progress.total === 0
      ? ''
      : `, ${Math.floor((100 * Math.min(progress.done, progress.total)) / progress.total)} %`;
  const more = otherUnit === null ? '' : `: ${clean(otherUnit)}`;
  const lacks = missing.length === 0 ? '' : `; it is not good yet: ${clean(missing.join('; '))}`;
  return `${PHASES[phase]}${more}${part}${lacks}`;
}

/** How the latest one ended, or stands; null: there was none. */
export function lastText({ last }: UpgradeView): string | null {
  if (last === null) return null;
  const { stage, version, back, author, began, reason } = last;
  const what = `${back ? 'back to' : 'to'} ${version ?? 'another version'} by ${clean(author)}, ${timestamp(began)}`;
  return `${what}: ${stage}${reason === null ? '' : ` (${clean(reason)})`}`;
}

/** Pairs of a name and what is said of it. */
export function upgradeFacts(view: UpgradeView): (readonly [string, string])[] {
  const facts: (readonly [string, string])[] = view.slots.map((row) => {
    const marks = [
      ...(row.running ? ['runs'] : []),
      ...(row.good ? ['boots'] : []),
      ...(row.trial ? ['is tried next'] : []),
    ];
    const commit = row.commit === null ? '' : ` (${row.commit.slice(0, 12)})`;
    const version = row.version === null ? 'empty or unknown' : `${row.version}${commit}`;
    return [`Slot ${row.slot}`, [version, ...marks].join(', ')];
  });
  if (view.unable !== null) facts.push(['Upgrades', view.unable]);
  else facts.push(['Upgrade', phaseText(view)]);
  const last = lastText(view);
  if (last !== null) facts.push(['Latest', last]);
  if (view.problem !== null) facts.push(['Problem', clean(view.problem)]);
  return facts;
}
