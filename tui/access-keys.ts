/** The keys of the screen of access, what is asked before, and what answers mean. */
import type { TemporaryAccessRow } from '../appliance/api/contract.js';
import { asking } from './acted.js';
import { answersOf, ask, askField, type Ask } from './ask.js';
import type { Key } from './keys.js';
import type { Model, Overlay } from './model.js';
import { accessKeyOf } from './screens/access.js';
import { selectedKey } from './screens/tables.js';
import type { Step } from './step.js';

const SECOND_MS = 1000;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

export function accessKey(model: Model, key: Key): Step | null {
  if (model.place.screen !== 'access' || key.ctrl) return null;
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  const services = (model.data.services?.value ?? []).map(({ name }) => name);
  const service = askField('service', 'Service', { words: services });
  if (key.name === 'delete' || key.character === 'x') {
    const selected = selectedKey(model);
    const rows = model.data.access?.value?.temporary ?? [];
    const row = rows.find((one) => accessKeyOf(one) === selected);
    return row === undefined ? null : open(askRemove(row));
  }
  switch (key.character) {
    case 'a':
      return open(
        ask(
          'Temporary entry',
          'In force at once, also for flows that there are; it ends by itself, and is no part of the configuration. Service empty: every one.',
          { type: 'access' },
          [
            askField('prefix', 'Prefix'),
            askField('verdict', 'Verdict', { choices: ['deny', 'allow'] }),
            askField('for', 'For', { text: '1h' }),
            service,
            askField('comment', 'Comment'),
          ],
        ),
      );
    case 't':
      return open(
        ask(
          'May this client come?',
          'Says what each service does with a client, and why. Service empty: every one.',
          { type: 'access-test' },
          [askField('address', 'Address'), service],
        ),
      );
    default:
      return null;
  }
}

function askRemove({ prefix, verdict, service }: TemporaryAccessRow): Overlay {
  return {
    kind: 'confirm',
    question: `Take the entry away that has ${service ?? 'every service'} ${verdict} ${prefix}?`,
    effects: [
      {
        type: 'act',
        call: {
          ...{ method: 'DELETE', path: '/v1/access/entries' },
          query: { prefix, service: service ?? undefined },
        },
        done: `The entry ${prefix} is gone.`,
      },
    ],
  };
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerAccess(model: Model, now: Ask): Step | string | null {
  const { prefix = '', verdict = '', service = '', comment = '', address = '' } = answersOf(now);
  const of = service === '' ? {} : { service };
  switch (now.purpose.type) {
    case 'access': {
      const match = /^(\d{1,6})([smhd])$/.exec(answersOf(now)['for'] ?? '');
      const forMs = Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? Number.NaN) * SECOND_MS;
      if (prefix === '') return 'Give a prefix, such as 192.0.2.0/24, or an address.';
      if (!(forMs >= SECOND_MS)) return 'Give a time, such as 30m, 1h or 7d.';
      const json = { prefix, verdict, 'for-ms': forMs, comment, ...of };
      const call = { method: 'POST', path: '/v1/access/entries', json } as const;
      const done = verdict === 'deny' ? `Denied ${prefix}.` : `Allowed ${prefix}.`;
      return asking(model, { type: 'act', call, done });
    }
    case 'access-test': {
      if (address === '') return 'Give the address of a client.';
      const call = { path: '/v1/access/test', query: { address, ...of } };
      return asking(model, { type: 'act', call, done: address, about: 'access-test' });
    }
    default:
      return null;
  }
}
