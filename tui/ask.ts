/**
 * A small form over the screen: some fields to fill in, and what they are for. Pure.
 *
 * Invariant: what is secret is not drawn.
 */
import type { Path } from '../appliance/config/errors.js';
import type { Key } from './keys.js';

export interface AskField {
  readonly name: string;
  readonly label: string;
  readonly text: string;
  /** Of the cursor in the text. */
  readonly at: number;
  readonly secret: boolean;
  /** One of these, by Left and Right; none: typed. */
  readonly choices: readonly string[];
  /** Something else than the choices may be typed as well. */
  readonly free: boolean;
  /** What Tab completes. */
  readonly words: readonly string[];
}

/** What an answer is for. */
export type Purpose =
  | { readonly type: 'commit' }
  | { readonly type: 'rollback'; readonly to: number }
  | { readonly type: 'set'; readonly path: Path }
  /** A key of a map of names. */
  | { readonly type: 'key'; readonly path: Path }
  | { readonly type: 'new'; readonly section: string }
  | { readonly type: 'copy'; readonly path: Path }
  | { readonly type: 'rename'; readonly path: Path }
  | { readonly type: 'access' }
  | { readonly type: 'access-test' }
  | { readonly type: 'prefer' }
  | { readonly type: 'export' }
  | { readonly type: 'authority' }
  | { readonly type: 'invite' }
  | { readonly type: 'join' }
  | { readonly type: 'upgrade' }
  | { readonly type: 'import' }
  | { readonly type: 'paste' }
  | { readonly type: 'request' }
  | { readonly type: 'self-signed' }
  | { readonly type: 'login' }
  | { readonly type: 'new-user' }
  | { readonly type: 'new-token' }
  | { readonly type: 'own-password' }
  /** Of a user. */
  | { readonly type: 'role'; readonly name: string }
  | { readonly type: 'password'; readonly name: string }
  | { readonly type: 'backup' }
  | { readonly type: 'restore' }
  | { readonly type: 'support-bundle' }
  | { readonly type: 'factory-reset'; readonly unit: string }
  | { readonly type: 'power' }
  | { readonly type: 'ping' }
  | { readonly type: 'traceroute' }
  | { readonly type: 'resolve' };

export interface Ask {
  readonly kind: 'ask';
  readonly title: string;
  /** Sentences above the fields. */
  readonly note: string;
  readonly fields: readonly AskField[];
  /** Index of the field that takes the keys. */
  readonly field: number;
  readonly problem: string;
  readonly purpose: Purpose;
}

export function askField(name: string, label: string, more: Partial<AskField> = {}): AskField {
  const text = more.text ?? more.choices?.[0] ?? '';
  return {
    name,
    label,
    secret: false,
    choices: [],
    free: false,
    words: [],
    ...more,
    text,
    at: text.length,
  };
}

export function ask(
  title: string,
  note: string,
  purpose: Purpose,
  fields: readonly AskField[],
): Ask {
  return { kind: 'ask', title, note, purpose, fields, field: 0, problem: '' };
}

/** By name of the field; blanks around what is secret may belong to it. */
export function answersOf({ fields }: Ask): Readonly<Record<string, string>> {
  return Object.fromEntries(
    fields.map(({ name, text, secret }) => [name, secret ? text : text.trim()]),
  );
}

export type AskStep = Ask | 'submitted';

/** Any key but those that leave it. */
export function askKey(now: Ask, key: Key): AskStep {
  const last = now.fields.length - 1;
  const to = (field: number): Ask => ({ ...now, field: Math.max(0, Math.min(last, field)) });
  switch (key.name) {
    case 'return':
    case 'enter':
      return now.field === last ? 'submitted' : to(now.field + 1);
    case 'down':
      return to(now.field + 1);
    case 'up':
    case 'backtab':
      return to(now.field - 1);
    case 'tab': {
      const field = now.fields[now.field];
      const completed = field === undefined ? null : completedText(field);
      return completed === null
        ? to(now.field === last ? 0 : now.field + 1)
        : changed(now, completed);
    }
    default: {
      const field = now.fields[now.field];
      return field === undefined ? now : changed(now, fieldKey(field, key));
    }
  }
}

function changed(now: Ask, field: AskField): Ask {
  return { ...now, fields: now.fields.with(now.field, field), problem: '' };
}

function completedText(field: AskField): AskField | null {
  const word = field.words.find((one) => one.startsWith(field.text) && one !== field.text);
  return word === undefined ? null : { ...field, text: word, at: word.length };
}

function fieldKey(field: AskField, key: Key): AskField {
  const { text, at, choices } = field;
  if (choices.length > 0) {
    const by = key.name === 'left' ? -1 : key.name === 'right' || key.character === ' ' ? 1 : 0;
    const index = (choices.indexOf(text) + by + choices.length) % choices.length;
    if (by !== 0) return { ...field, text: choices[index] ?? text };
    if (field.free) {
      const typed = choices.includes(text) ? '' : text;
      if (key.name === 'backspace') return { ...field, text: typed.slice(0, -1) };
      if (/^\d$/.test(key.character) || (typed !== '' && /^\w$/.test(key.character)))
        return { ...field, text: typed + key.character };
    }
    const next = choices.find((one) => key.character !== '' && one.startsWith(key.character));
    return { ...field, text: next ?? text };
  }
  const put = (next: string, to: number): AskField => ({ ...field, text: next, at: to });
  switch (key.name) {
    case 'left':
      return put(text, Math.max(0, at - 1));
    case 'right':
      return put(text, Math.min(text.length, at + 1));
    case 'home':
      return put(text, 0);
    case 'end':
      return put(text, text.length);
    case 'backspace':
      return at === 0 ? field : put(text.slice(0, at - 1) + text.slice(at), at - 1);
    case 'delete':
      return put(text.slice(0, at) + text.slice(at + 1), at);
    default:
      break;
  }
  if (key.ctrl) return key.name === 'u' ? put('', 0) : field;
  if (key.character === '') return field;
  return put(text.slice(0, at) + key.character + text.slice(at), at + key.character.length);
}
