/** What is shown of what the daemon answered to a change. Pure. */
import type {
  AccessTestRow,
  ApplyResult,
  CertificateDetail,
  ErrorCode,
  FailoverResult,
  PairInvited,
  PreferResult,
  TokenCreated,
} from '../appliance/api/contract.js';
import type { Call } from '../appliance/cli/client.js';
import { formatChange } from '../appliance/config/changes.js';
import { duration, plural, timestamp } from '../appliance/cli/format.js';
import { openEditor } from './editor.js';
import { reached } from './network-keys.js';
import type { About, Effect, Model, Overlay } from './model.js';
import type { Step } from './step.js';

/** Something is asked of the daemon; what was open is closed. */
export function asking(model: Model, effect: Effect): Step {
  const pending = 'Waiting for the daemon.';
  return { model: { ...model, overlay: null, pending }, effects: [effect] };
}

export function acted(
  model: Model,
  action: {
    readonly text: string;
    readonly about?: About;
    readonly value?: unknown;
    readonly call?: Call;
  },
): Step {
  const { text, about, value, call } = action;
  const told: Model = { ...model, pending: null, notice: { text, at: model.now } };
  return { model: shown(told, text, about, value, call), effects: [{ type: 'refresh' }] };
}

/** `value` is what contract.ts promises for what was asked. */
function shown(
  model: Model,
  text: string,
  about: About | undefined,
  value: unknown,
  call: Call | undefined,
): Model {
  switch (about) {
    case 'commit': {
      const { revision, changes, confirmBy } = value as ApplyResult;
      const waits = confirmBy === undefined ? '' : ' It goes back by itself unless you press K.';
      const said = `Revision ${revision ?? 'none'}: ${plural(changes.length, 'change')}.${waits}`;
      return {
        ...model,
        draft: null,
        editor: null,
        place: { screen: 'config', name: '', pool: '' },
        trail: [],
        notice: { text: `${said}${text === '' ? '' : ` ${text}`}`, at: model.now },
      };
    }
    case 'invited': {
      const { code, addresses, port, fingerprint, expires } = value as PairInvited;
      const said = [
        `Code: ${code}`,
        '',
        `On the other unit: p on its screen Pair, or weir pair join ${addresses[0] ?? ''}`,
        `Listens at ${addresses.join(', ')}, TCP port ${port}, until ${timestamp(expires)}, for one unit.`,
        `Fingerprint ${fingerprint}`,
        '',
        'The code is shown only here, and only now.',
      ];
      return { ...model, overlay: { kind: 'message', title: 'Invited', text: said.join('\n') } };
    }
    case 'failover': {
      const { remaining } = value as FailoverResult;
      if (remaining.length === 0) return model;
      const said = `No other unit took over, so this one still holds ${remaining.join(', ')}.`;
      return { ...model, overlay: { kind: 'message', title: 'Nobody took over', text: said } };
    }
    case 'access-test': {
      const rows = value as AccessTestRow[];
      const said = rows.map(
        (row) =>
          `${row.service}: ${row.verdict}${row.prefix === null ? '' : ` (${row.prefix})`}, ${row.because}`,
      );
      const none = 'There are no services.';
      const overlay = { kind: 'message', title: text, text: said.join('\n') || none } as const;
      return { ...model, notice: null, overlay };
    }
    case 'prefer': {
      if (call === undefined) return model;
      const overlay = preferQuestion(value as PreferResult, call);
      return { ...model, notice: null, overlay };
    }
    case 'request': {
      const { name, request } = value as CertificateDetail;
      return {
        ...model,
        trail: [...model.trail, model.place],
        place: { screen: 'certificate', name, pool: '' },
        overlay: {
          kind: 'message',
          title: `Request for ${name}`,
          text: `Send this to an authority, and import what it answers as ${name}:\n${request ?? ''}`,
        },
      };
    }
    case 'certificates': {
      // What was pasted holds a key: it is not kept.
      const pem = model.editor?.purpose.type === 'pem';
      const left: Model = pem ? { ...model, editor: null } : model;
      return left.place.screen === 'editor' && pem
        ? { ...left, place: { screen: 'certificates', name: '', pool: '' }, trail: [] }
        : left;
    }
    case 'token': {
      const { token, name, role } = value as TokenCreated;
      const said = `${token}\n\nThe secret of ${name}, ${role}. It is shown only here, and only now.`;
      return { ...model, overlay: { kind: 'message', title: 'Token', text: said } };
    }
    case 'ping':
    case 'traceroute':
    case 'resolve':
    case 'try':
      return { ...model, notice: null, overlay: reached(model, text, about, value) };
    case undefined:
      return model;
  }
}

/** Before it is done: what it changes, and which addresses move. */
function preferQuestion(
  { change, moves, preempt, preemptDelay }: PreferResult,
  call: Call,
): Overlay {
  if (change.changes.length === 0) {
    return { kind: 'message', title: 'Nothing to do', text: 'That is so already.' };
  }
  const when = preempt
    ? `while both units are well, after ${duration(preemptDelay)}`
    : 'once the unit that has them yields: preempt is off';
  const lines = moves.map(({ address, from, to }) => `  ${address}  ${from ?? 'nowhere'} to ${to}`);
  const what =
    lines.length === 0 ? 'No address moves.' : `What moves, ${when}:\n${lines.join('\n')}`;
  return {
    kind: 'confirm',
    question: `${change.changes.map(formatChange).join('\n')}\n${what}\nCommit that on both units?`,
    effects: [
      {
        type: 'act',
        call: { ...call, json: { ...(call.json as object), 'dry-run': false } },
        done: 'Committed.',
      },
    ],
  };
}

export function refusalText({
  text,
  code,
}: {
  readonly text: string;
  readonly code?: ErrorCode;
}): string {
  return code === 'revision-mismatch'
    ? `${text}\nYour candidate is still here: R puts it on top of the new revision, X drops it.`
    : text;
}

/** An editor for a certificate in PEM. */
export function pemEditor(name: string, replace: boolean, authority: boolean): Model['editor'] {
  return openEditor({ type: 'pem', name, replace, authority }, '');
}
