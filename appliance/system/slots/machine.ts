/**
 * Where an upgrade stands, from what survives a loss of power: the choice of the boot loader, the
 * journal on the data partition, and which slot this boot is of. Pure.
 *
 *     idle ─► writing ─► written ─► armed ─(boot)─► trying ─► good
 *               │                     │                └────► fallen-back
 *               └─► failed            └─(boot loader gives up)──► fallen-back
 *
 * Each arrow is one durable write, and `recover` says what is true after a cut between any two. The
 * choice of the boot loader decides, the journal explains: journal first on the way to a trial and on
 * the way back, choice first when a slot becomes good.
 */
import { z } from 'zod';
import { type Choice, type Slot, SLOTS, TRIES } from './environment.js';
import { pictureSchema } from './judge.js';

const slot = z.enum(SLOTS);
/** What is known to be in a slot; null: nothing that boots, as far as is known. */
const contentSchema = z
  .strictObject({ version: z.string(), commit: z.string().nullable() })
  .nullable();
export type Content = z.output<typeof contentSchema>;

export const STAGES = ['writing', 'written', 'armed', 'good', 'fallen-back', 'failed'] as const;

const upgradeSchema = z.strictObject({
  stage: z.enum(STAGES),
  from: slot,
  to: slot,
  /** Of the slot that is tried; null: unknown. */
  version: z.string().nullable(),
  /** Goes back to what the other slot has: nothing is written. */
  back: z.boolean(),
  author: z.string(),
  /** Milliseconds since 1970, of the begin and of the last stage. */
  began: z.number(),
  changed: z.number(),
  /** Why it failed or fell back, a clause. */
  reason: z.string().nullable(),
  /** The boot in which that was decided. */
  boot: z.string().nullable(),
  /** The unit as it was before; null: not known. */
  before: pictureSchema.nullable(),
  /** This unit gave up its addresses for the upgrade and takes them again when it is over. */
  handedOver: z.boolean(),
});
export type Upgrade = z.output<typeof upgradeSchema>;

export const journalSchema = z.strictObject({
  slots: z.strictObject({ a: contentSchema, b: contentSchema }),
  upgrade: upgradeSchema.nullable(),
});
export type Journal = z.output<typeof journalSchema>;

export interface World {
  /** The slot of this boot, and the boot's own name. */
  readonly running: Slot;
  readonly boot: string;
  readonly choice: Choice;
  readonly upgrade: Upgrade | null;
}

/** What is to be done: judge the slot on trial, leave it, or nothing. */
export type Next = 'nothing' | 'judge' | 'reboot';

export interface Recovered {
  readonly choice: Choice;
  readonly upgrade: Upgrade | null;
  readonly next: Next;
}

export const isOver = ({ stage }: Upgrade): boolean =>
  stage === 'good' || stage === 'fallen-back' || stage === 'failed';

/** What is true when the daemon starts, and what comes next; idempotent. */
export function recover({ running, boot, choice, upgrade }: World): Recovered {
  const calm: Choice = { good: choice.good, trial: null, tries: 0 };
  const ended = (stage: Upgrade['stage'], reason: string | null): Recovered => ({
    choice: calm,
    upgrade: upgrade === null ? null : { ...upgrade, stage, reason, boot: null },
    next: 'nothing',
  });
  if (upgrade === null || isOver(upgrade)) {
    // Decided in this boot to leave it, and nothing came of that yet.
    if (upgrade?.stage === 'fallen-back' && upgrade.boot === boot && running === upgrade.to) {
      return { choice: { ...calm, good: upgrade.from }, upgrade, next: 'reboot' };
    }
    // On trial, and nobody knows why: the journal was lost with its disk.
    if (choice.trial === running && choice.good !== running) {
      return { choice, upgrade, next: 'judge' };
    }
    return { choice: calm, upgrade, next: 'nothing' };
  }
  if (upgrade.stage === 'writing')
    return ended('failed', 'it was cut off while the slot was written');
  if (running === upgrade.to) {
    if (choice.trial === running) return { choice, upgrade, next: 'judge' };
    if (choice.good === running) return ended('good', null);
    // The boot loader gave up counting, and boots it all the same by somebody's hand.
    return ended('fallen-back', 'it was booted by hand, not as a trial');
  }
  if (choice.trial === upgrade.to && choice.tries === TRIES) {
    return { choice, upgrade: { ...upgrade, stage: 'armed' }, next: 'nothing' };
  }
  return ended(
    'fallen-back',
    upgrade.stage === 'armed' || choice.trial === upgrade.to
      ? 'it did not come up'
      : 'the unit lost its power before it was tried, or it did not come up',
  );
}
