/** The keys of the certificates' screens, what is asked before, and what answers mean. */
import type { CertificateRow } from '../appliance/api/contract.js';
import { certificatePath } from '../appliance/cli/cert-path.js';
import { asking, pemEditor } from './acted.js';
import { answersOf, ask, askField, type Ask, type AskField } from './ask.js';
import type { Key } from './keys.js';
import { entered, type Effect, type Model, type Overlay } from './model.js';
import { selectedKey } from './screens/tables.js';
import type { Step } from './step.js';

const DAY_MS = 86_400_000;
const KEYS = ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'];
const YES_NO = ['no', 'yes'];

export function certificateKey(model: Model, key: Key): Step | null {
  const { screen } = model.place;
  if ((screen !== 'certificates' && screen !== 'certificate') || key.ctrl) return null;
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  const row = rowAt(model);
  if (key.name === 'delete' || key.character === 'x')
    return row === null ? null : open(askRemove(row));
  const name = screen === 'certificate' ? model.place.name : '';
  switch (key.character) {
    case 'n':
      return row === null || (row.declared !== 'acme' && row.declared !== 'self-signed')
        ? null
        : open({
            kind: 'confirm',
            question: `Obtain ${row.name} anew now? The present one serves until the new one is there.`,
            effects: [
              {
                type: 'act',
                call: { method: 'POST', path: `${certificatePath(row.name)}/renew` },
                done: `Renewed ${row.name}.`,
                about: 'certificates',
              },
            ],
          });
    case 'e':
      return row === null || row.kind === 'request'
        ? null
        : open(
            ask(
              `Export ${row.name}`,
              'Into a new file on this machine, for its owner alone. With the key: root only, and an event says who took it. A passphrase closes PKCS#12.',
              { type: 'export' },
              [
                askField('name', 'Name', { text: row.name }),
                askField('file', 'File'),
                askField('with-key', 'With the key', { choices: YES_NO }),
                askField('format', 'Format', { choices: ['pem', 'pkcs12'] }),
                askField('passphrase', 'Passphrase', { secret: true }),
              ],
            ),
          );
    case 'a':
      return open(
        ask(
          'Own authority',
          'Makes an authority whose key stays here; m then makes certificates by it.',
          { type: 'authority' },
          [
            askField('name', 'Name'),
            askField('key', 'Key', { choices: KEYS }),
            askField('subject', 'Subject'),
            askField('days', 'Days', { text: '3650' }),
            askField('replace', 'Replace', { choices: YES_NO }),
          ],
        ),
      );
    case 'i':
      return open(
        ask(
          'Import',
          'PEM (certificate, chain, key) or PKCS#12, read on this machine.',
          { type: 'import' },
          [
            ...namedFields(name),
            askField('files', 'Files'),
            askField('passphrase', 'Passphrase', { secret: true }),
          ],
        ),
      );
    case 'p':
      return open(
        ask(
          'Paste PEM',
          'Its name first; then an editor opens to paste into.',
          { type: 'paste' },
          namedFields(name),
        ),
      );
    case 'c':
      return open(
        ask(
          'Request',
          'Makes a key here and a request (PKCS#10) to send to an authority.',
          { type: 'request' },
          [...makeFields(name), askField('replace', 'Replace', { choices: YES_NO })],
        ),
      );
    case 'm':
      return open(
        ask(
          'Self-signed',
          'Made here, by its own key or an authority of the store; the unit does not renew it.',
          { type: 'self-signed' },
          [
            ...makeFields(name),
            askField('days', 'Days', { text: '90' }),
            askField('ca', 'Authority', { words: authorities(model) }),
            askField('replace', 'Replace', { choices: YES_NO }),
          ],
        ),
      );
    default:
      return null;
  }
}

function authorities({ data }: Model): string[] {
  const rows = data.certificates?.value ?? [];
  return rows.filter(({ kind }) => kind === 'authority').map(({ name }) => name);
}

function namedFields(name: string): AskField[] {
  return [
    askField('name', 'Name', { text: name }),
    askField('replace', 'Replace', { choices: YES_NO }),
    askField('authority', 'Authority', { choices: YES_NO }),
  ];
}

function makeFields(name: string): AskField[] {
  return [
    askField('name', 'Name', { text: name }),
    askField('names', 'Host names'),
    askField('key', 'Key', { choices: KEYS }),
    askField('subject', 'Subject'),
  ];
}

function rowAt(model: Model): CertificateRow | null {
  if (model.place.screen === 'certificate') return model.data.certificate?.value ?? null;
  const rows = model.data.certificates?.value ?? [];
  const selected = selectedKey(model);
  return rows.find(({ kind, name }) => `${kind} ${name}` === selected) ?? null;
}

function askRemove({ name, kind, usedBy }: CertificateRow): Overlay {
  const request = kind === 'request';
  const used = usedBy.length === 0 ? '' : `\nServices use it: ${usedBy.join(', ')}.`;
  return {
    kind: 'confirm',
    question: `Remove the ${kind} ${name} with its key, for good?${used}`,
    effects: [
      {
        type: 'act',
        call: {
          method: 'DELETE',
          path: certificatePath(name),
          query: { request: request ? 'true' : undefined },
        },
        done: `Removed ${name}.`,
        about: 'certificates',
      },
    ],
  };
}

const OURS = ['import', 'paste', 'request', 'self-signed', 'export', 'authority'] as const;

function isOurs(type: string): type is (typeof OURS)[number] {
  return (OURS as readonly string[]).includes(type);
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerCertificate(model: Model, now: Ask): Step | string | null {
  const { type } = now.purpose;
  if (!isOurs(type)) return null;
  const answers = answersOf(now);
  const { name = '', names = '', key = '', subject = '', days = '', ca = '', files = '' } = answers;
  const replace = answers['replace'] === 'yes';
  const authority = answers['authority'] === 'yes';
  if (name === '') return 'Give a name, such as shop.example.';
  const path = certificatePath(name);
  const acting = (effect: Effect): Step => asking(model, effect);
  const made = {
    names: names.split(/[\s,]+/).filter(Boolean),
    key,
    replace,
    ...(subject === '' ? {} : { subject }),
  };
  switch (type) {
    case 'import': {
      const paths = files.split(/\s+/).filter(Boolean);
      if (paths.length === 0)
        return 'Give the files, such as /root/fullchain.pem /root/privkey.pem.';
      return acting({
        type: 'import',
        call: importCall(name, replace, authority),
        files: paths,
        passphrase: answers['passphrase'] ?? '',
        done: `Imported ${name}.`,
      });
    }
    case 'paste': {
      const editor = pemEditor(name, replace, authority);
      const there = entered(model, { screen: 'editor', name: '', pool: '' });
      return { model: { ...there, overlay: null, editor }, effects: [] };
    }
    case 'request':
      return acting({
        type: 'act',
        call: { method: 'POST', path: `${path}/request`, json: made },
        done: `A request of ${name} waits for its certificate.`,
        about: 'request',
      });
    case 'export': {
      const { file = '', format = 'pem', passphrase = '' } = answers;
      const withKey = answers['with-key'] === 'yes';
      if (!file.startsWith('/'))
        return 'Give the whole path of a new file, such as /root/shop.pem.';
      const json = { format, key: withKey };
      const call = { method: 'POST', path: `${path}/export`, json } as const;
      const done = `${name}${withKey ? ' with its key' : ''} is in ${file}.`;
      return acting({ type: 'export', call, file, passphrase, done });
    }
    case 'authority': {
      if (!/^\d{1,5}$/.test(days)) return 'Give the days as a whole number.';
      const json = {
        ...{ key, replace, 'lifetime-ms': Number(days) * DAY_MS },
        ...(subject === '' ? {} : { subject }),
      };
      return acting({
        type: 'act',
        call: { method: 'POST', path: `${path}/authority`, json },
        done: `Made the authority ${name}.`,
        about: 'certificates',
      });
    }
    case 'self-signed': {
      if (!/^\d{1,5}$/.test(days)) return 'Give the days as a whole number.';
      const json = { ...made, 'lifetime-ms': Number(days) * DAY_MS, ...(ca === '' ? {} : { ca }) };
      return acting({
        type: 'act',
        call: { method: 'POST', path: `${path}/self-signed`, json },
        done: `Made ${name}.`,
        about: 'certificates',
      });
    }
  }
}

export function importCall(
  name: string,
  replace: boolean,
  authority: boolean,
): Extract<Effect, { type: 'act' }>['call'] {
  return {
    method: 'PUT',
    path: certificatePath(name),
    query: { replace: replace ? 'true' : undefined, authority: authority ? 'true' : undefined },
  };
}
