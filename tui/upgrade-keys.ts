/** The keys of the system's screen that upgrade the unit, and what is asked before. */
import { asking } from './acted.js';
import { answersOf, ask, askField, type Ask } from './ask.js';
import type { Key } from './keys.js';
import type { Model, Overlay } from './model.js';
import type { Step } from './step.js';

export function upgradeKey(model: Model, key: Key): Step | null {
  if (model.place.screen !== 'system' || key.ctrl) return null;
  const view = model.data.upgrade?.value ?? null;
  if (view === null || view.unable !== null) return null;
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  switch (key.character) {
    case 'u':
      return open(
        ask(
          'Upgrade',
          'The slot that does not run is written from an update bundle on this unit, and booted once. It stays if all is as before, else the unit goes back by itself. In a pair the other unit can go first.',
          { type: 'upgrade' },
          [
            askField('file', 'Bundle'),
            askField('units', 'Units', { choices: ['this one', 'both'] }),
            askField('older', 'Older versions', { choices: ['no', 'allowed'] }),
          ],
        ),
      );
    case 'O': {
      const other = view.slots.find(({ running }) => !running);
      if (other === undefined || other.version === null) return null;
      const call = { method: 'POST', path: '/v1/upgrade/back', json: {} } as const;
      return open({
        kind: 'confirm',
        question: `Go back to slot ${other.slot} with version ${other.version}, and reboot?`,
        effects: [{ type: 'act', call, done: 'The unit goes back to the other slot.' }],
      });
    }
    default:
      return null;
  }
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerUpgrade(model: Model, now: Ask): Step | string | null {
  if (now.purpose.type !== 'upgrade') return null;
  const { file = '', units, older } = answersOf(now);
  if (!file.startsWith('/')) return 'Give the path of the bundle on this unit, from / on.';
  const json = { file, pair: units === 'both', 'allow-older': older === 'allowed' };
  const call = { method: 'POST', path: '/v1/upgrade', json } as const;
  return asking(model, { type: 'act', call, done: 'The upgrade is under way.' });
}
