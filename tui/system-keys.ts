/** The keys of the System screen, what is asked before, and what answers mean. */
import type { BackupView, RestoreResult } from '../appliance/api/contract.js';
import { plural, timestamp } from '../appliance/cli/format.js';
import { formatChange } from '../appliance/config/changes.js';
import { asking } from './acted.js';
import { answersOf, ask, askField, type Ask } from './ask.js';
import type { Key } from './keys.js';
import type { BackupEffect, Effect, Model, Overlay } from './model.js';
import type { Step } from './step.js';

const YES_NO = ['no', 'yes'];
const SHOWN_CHANGES = 8;

export function systemKey(model: Model, key: Key): Step | null {
  if (model.place.screen !== 'system' || key.ctrl) return null;
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  const unit = model.data.system?.value ?? null;
  switch (key.character) {
    case 'b':
      return open(
        ask(
          'Back up',
          'Into a new file on this machine; the passphrase is all that protects the keys in it.',
          { type: 'backup' },
          [
            askField('file', 'File'),
            askField('scope', 'What', { choices: ['whole unit', 'configuration only'] }),
            askField('passphrase', 'Passphrase', { secret: true }),
            askField('again', 'Again', { secret: true }),
          ],
        ),
      );
    case 't':
      return open(
        ask(
          'Restore',
          'A backup on this machine. It is looked into first; nothing changes before you say yes.',
          { type: 'restore' },
          [
            askField('file', 'File'),
            askField('passphrase', 'Passphrase', { secret: true }),
            askField('configuration', 'Only configuration', { choices: YES_NO }),
          ],
        ),
      );
    case 'B':
      return open(
        ask(
          'Support bundle',
          'Into a new file on this machine: without keys, passwords and tokens, for whoever helps.',
          { type: 'support-bundle' },
          [askField('file', 'File'), askField('mask', 'Mask addresses', { choices: YES_NO })],
        ),
      );
    case 'E':
      return unit === null
        ? null
        : open(
            ask(
              `Erase ${unit.unit}`,
              `Ends the services of ${unit.unit} and erases configuration, history, certificates with their keys, and the pair. It begins as a new unit. This cannot be undone: type its name.`,
              { type: 'factory-reset', unit: unit.unit },
              [
                askField('name', 'Name'),
                askField('logs', 'Leave access logs', { choices: YES_NO }),
              ],
            ),
          );
    case 'P':
      if (unit === null) return null;
      return unit.power
        ? open(
            ask(
              `Reboot ${unit.unit} or turn it off`,
              'The services of this unit end until it is back; in a pair the other unit takes over.',
              { type: 'power' },
              [askField('action', 'What', { choices: ['nothing', 'reboot', 'turn off'] })],
            ),
          )
        : open({
            kind: 'message',
            title: 'Reboot, power off',
            text: 'This host does not let Weir reboot it or turn it off: start the daemon with --power systemctl.',
          });
    default:
      return null;
  }
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerSystem(model: Model, now: Ask): Step | string | null {
  const answers = answersOf(now);
  const { file = '', passphrase = '', again = '', scope = '', name = '', action = '' } = answers;
  const acting = (effect: Effect): Step => asking(model, effect);
  switch (now.purpose.type) {
    case 'backup': {
      if (!file.startsWith('/')) return 'Give a full path, such as /root/unit.weirbackup.';
      if (passphrase !== again) return 'The two passphrases differ.';
      if ([...passphrase].length < 8) return 'A passphrase has at least 8 characters.';
      const json = { scope: scope === 'whole unit' ? 'unit' : 'configuration' };
      return acting({
        type: 'save',
        call: { method: 'POST', path: '/v1/system/backup', json, passphrase },
        ...{ file, done: `The backup is in ${file}.` },
      });
    }
    case 'restore':
      if (!file.startsWith('/')) return 'Give a full path, such as /root/unit.weirbackup.';
      if (passphrase === '') return 'Give the passphrase that the backup was made with.';
      return acting({
        ...{ type: 'inspect', file, passphrase },
        configurationOnly: answers['configuration'] === 'yes',
      });
    case 'support-bundle': {
      if (!file.startsWith('/')) return 'Give a full path, such as /tmp/weir.tar.gz.';
      const json = { 'mask-addresses': answers['mask'] === 'yes' };
      return acting({
        type: 'save',
        call: { method: 'POST', path: '/v1/system/support-bundle', json },
        ...{ file, done: `The support bundle is in ${file}.` },
      });
    }
    case 'factory-reset': {
      const { unit } = now.purpose;
      if (name !== unit) return `Type ${unit} to erase it; Esc leaves everything as it is.`;
      const json = { name, 'keep-logs': answers['logs'] === 'yes' };
      return acting({
        type: 'act',
        call: { method: 'POST', path: '/v1/system/factory-reset', json },
        done: `${unit} is being erased, and begins as a new unit.`,
      });
    }
    case 'power': {
      if (action === 'nothing') return { model: { ...model, overlay: null }, effects: [] };
      const json = { action: action === 'reboot' ? 'reboot' : 'off' };
      return acting({
        type: 'act',
        call: { method: 'POST', path: '/v1/system/power', json },
        done: action === 'reboot' ? 'The host reboots.' : 'The host turns off.',
      });
    }
    default:
      return null;
  }
}

/** What was found in a backup, and whether to restore it. */
export function askRestore(view: BackupView, from: BackupEffect): Overlay {
  const { changes, notes, refusal } = view.restore;
  if (refusal !== null) return { kind: 'message', title: 'It cannot be restored', text: refusal };
  const more = changes.length - SHOWN_CHANGES;
  const lines = [
    `Restore the backup of ${view.unit}, ${timestamp(view.time)}, by ${view.author}?`,
    changes.length === 0
      ? 'The configuration stays as it is.'
      : `${plural(changes.length, 'change')} of the configuration:`,
    ...changes.slice(0, SHOWN_CHANGES).map(formatChange),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...notes,
    'What is here now is kept as a backup with the same passphrase.',
  ];
  return {
    kind: 'confirm',
    question: lines.join('\n'),
    effects: [{ ...from, type: 'restore' }],
  };
}

export function restored({ revision, copy, warnings }: RestoreResult): string {
  const what = revision === null ? 'Restored.' : `Restored as revision ${revision}.`;
  return [`${what} What was there before is in ${copy}.`, ...warnings].join(' ');
}
