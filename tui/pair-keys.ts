/** The keys of the pair's screen, what is asked before, and what answers mean. */
import type { PairView, RouterRow } from '../appliance/api/contract.js';
import { asking } from './acted.js';
import { answersOf, ask, askField, type Ask } from './ask.js';
import type { Key } from './keys.js';
import type { Effect, Model, Overlay } from './model.js';
import { selectedKey } from './screens/tables.js';
import type { Step } from './step.js';

export function pairKey(model: Model, key: Key): Step | null {
  if (model.place.screen !== 'pair' || key.ctrl) return null;
  const view = model.data.pair?.value ?? null;
  const rows = model.data.routers?.value ?? [];
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  switch (key.character) {
    case 'i':
      return open(
        ask(
          'Invite another unit',
          'Listens for ten minutes and shows a code for one unit. Each address is a link of the pair from then on; without addresses: one of each interface.',
          { type: 'invite' },
          [askField('addresses', 'Addresses')],
        ),
      );
    case 'p':
      return open(
        ask(
          'Join another unit',
          'The code and an address that the other unit shows. The code is not shown here.',
          { type: 'join' },
          [askField('address', 'Address'), askField('code', 'Code', { secret: true })],
        ),
      );
    case 'f': {
      const router = selectedKey(model);
      return router === null ? null : open(failover(model, router, rows));
    }
    case 'F':
      return rows.length === 0 ? null : open(failover(model, null, rows));
    case 'u':
      return rows.length === 0
        ? null
        : open({
            kind: 'confirm',
            question: 'Take the addresses of all virtual routers back, after preempt-delay?',
            effects: [failoverCall(null, true)],
          });
    case 'P':
      return rows.length === 0
        ? null
        : open(
            ask(
              'Prefer a unit',
              'Changes the configuration of both units: that unit has the addresses while both are well; none: each has a share. What moves is said before it is done.',
              { type: 'prefer' },
              [
                askField('unit', 'Unit', { text: view?.unit ?? '', words: unitsOf(view) }),
                askField('share', 'Share', { words: sharesOf(rows) }),
              ],
            ),
          );
    case 'L': {
      if (view === null || (view.peer === null && view.invitation === null)) return null;
      const question =
        view.peer === null
          ? 'Withdraw the invitation?'
          : `Part this unit from ${view.peer.name}?\nBoth forget each other and keep their configuration; to be a pair again they must be paired anew.${view.together ? '' : `\n${view.peer.name} is not heard: it must leave by itself too.`}`;
      const call = { method: 'DELETE', path: '/v1/pair' } as const;
      const done =
        view.peer === null ? 'The invitation is withdrawn.' : 'This unit has left the pair.';
      return open({ kind: 'confirm', question, effects: [{ type: 'act', call, done }] });
    }
    default:
      return null;
  }
}

function unitsOf(view: PairView | null): string[] {
  return view === null ? [] : [view.unit, view.peer?.name ?? '', 'none'].filter(Boolean);
}

/** Left empty: all. */
function sharesOf(rows: readonly RouterRow[]): string[] {
  return ['even', 'odd', ...rows.map(({ router }) => router)];
}

function failoverCall(router: string | null, cancel: boolean): Effect {
  const json = { router, cancel };
  return {
    type: 'act',
    call: { method: 'POST', path: '/v1/routers/failover', json },
    done: cancel ? 'This unit takes its addresses back after preempt-delay.' : 'Given up.',
    ...(cancel ? {} : { about: 'failover' as const }),
  };
}

/** Says which addresses and services move. Routers of one group move together. */
function failover(model: Model, router: string | null, rows: readonly RouterRow[]): Overlay {
  const group = rows.find((row) => row.router === router)?.group;
  const moved = rows.filter(
    (row) =>
      row.role === 'master' && (router === null || row.router === router || row.group === group),
  );
  const addresses = moved.flatMap((row) => row.addresses);
  const services = (model.data.services?.value ?? [])
    .filter(({ address }) => addresses.includes(address))
    .map(({ name }) => name);
  const what =
    moved.length === 0
      ? 'This unit holds none of their addresses now: nothing moves, and it stays a backup.'
      : `${moved.map((row) => row.router).join(', ')} with ${addresses.join(', ')} move to the other unit${services.length === 0 ? '' : `, and with them ${services.join(', ')}`}.`;
  return {
    kind: 'confirm',
    question: `Fail ${router ?? 'all virtual routers'} over?\n${what}\nThis unit stays a backup until the other one dies or u takes them back.`,
    effects: [failoverCall(router, false)],
  };
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerPair(model: Model, now: Ask): Step | string | null {
  const { addresses = '', address = '', code: typed = '' } = answersOf(now);
  const code = typed.trim();
  const acting = (effect: Effect): Step => asking(model, effect);
  switch (now.purpose.type) {
    case 'invite': {
      const json = { addresses: addresses.split(/[\s,]+/).filter(Boolean) };
      const call = { method: 'POST', path: '/v1/pair/invite', json } as const;
      return acting({ type: 'act', call, done: 'Invited.', about: 'invited' });
    }
    case 'prefer': {
      const { unit = '', share = '' } = answersOf(now);
      if (unit === '') return 'Give the name of a unit, or none.';
      const json = {
        ...{ unit: unit === 'none' ? null : unit, share: share === '' ? null : share },
        'dry-run': true,
      };
      const call = { method: 'POST', path: '/v1/routers/prefer', json } as const;
      return acting({ type: 'act', call, done: '', about: 'prefer' });
    }
    case 'join': {
      if (address === '') return 'Give an address of the other unit.';
      if (code === '') return 'Give the code that the other unit shows.';
      const call = { method: 'POST', path: '/v1/pair/join', json: { code, address } } as const;
      return acting({ type: 'act', call, done: `Joined the unit at ${address}.` });
    }
    default:
      return null;
  }
}
