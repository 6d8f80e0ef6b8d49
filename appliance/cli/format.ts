/**
 * Numbers, times and states as people read them. Pure functions of their arguments:
 * what the terminal can do comes in as `Look`.
 *
 * Invariant: nothing that came from elsewhere (comments, names, reasons) reaches a
 * terminal with control characters in it; `clean` stands between.
 */
import type { MemberState, ServiceState, Severity } from '../api/contract.js';

/** What the terminal can show. */
export interface Look {
  readonly colour: boolean;
  readonly unicode: boolean;
}

export type Colour = 'green' | 'yellow' | 'red' | 'dim' | 'bold';

/** ECMA-48 §8.3.117 (SGR) parameters: on, off. */
const SGR: Readonly<Record<Colour, readonly [number, number]>> = {
  green: [32, 39],
  yellow: [33, 39],
  red: [31, 39],
  dim: [2, 22],
  bold: [1, 22],
};

export function paint(look: Look, colour: Colour, text: string): string {
  if (!look.colour || text === '') return text;
  const [on, off] = SGR[colour];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

export function unpainted(text: string): string {
  // eslint's no-control-regex forbids the escape character in a literal.
  return text.split('\u001b').map(withoutParameters).join('');
}

function withoutParameters(part: string, index: number): string {
  return index === 0 ? part : part.replace(/^\[\d+m/, '');
}

/** Control characters of C0 and C1, DEL, and what turns text around, as `?`. */
export function clean(text: string): string {
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069\u2028\u2029]/gu, '?');
}

const ASCII: Readonly<Record<string, string>> = { '→': '->', '…': '...', '×': 'x', '–': '-' };

/** Weir's own signs in letters where the terminal knows no others. */
export function readable(look: Look, text: string): string {
  return look.unicode ? text : text.replace(/[→…×–]/g, (sign) => ASCII[sign] ?? sign);
}

type StateWord = MemberState | ServiceState;

const SHAPES: Readonly<Record<StateWord, readonly [unicode: string, colour: Colour]>> = {
  UP: ['●', 'green'],
  DEGRADED: ['◐', 'yellow'],
  DRAINING: ['◐', 'yellow'],
  DOWN: ['✖', 'red'],
  DISABLED: ['○', 'dim'],
};

/** `UP ●`: readable without colour, and without UTF-8 too. */
export function state(word: StateWord): { text: (look: Look) => string; colour: Colour } {
  // A newer daemon may know a state that this client does not.
  const known: readonly [string, Colour] | undefined = SHAPES[word];
  const [shape, colour] = known ?? ['?', 'bold'];
  return { text: (look) => (look.unicode ? `${clean(word)} ${shape}` : clean(word)), colour };
}

export function severityColour(severity: Severity): Colour | null {
  if (severity === 'error') return 'red';
  return severity === 'warning' ? 'yellow' : null;
}

const SI = ['', 'k', 'M', 'G', 'T', 'P', 'E'] as const;

/** Three significant digits with an SI prefix: 999, 1.23k, 45.6M. */
export function quantity(value: number): string {
  if (!Number.isFinite(value)) return '-';
  let scaled = value;
  let step = 0;
  // 999.5 would round to 1000.
  while (Math.abs(scaled) >= 999.5 && step < SI.length - 1) {
    scaled /= 1000;
    step += 1;
  }
  const most = decimals(scaled);
  // 20 of a count and 20.0 of a rate that is measured are the same.
  const digits = step === 0 && Number.isInteger(Number(scaled.toFixed(most))) ? 0 : most;
  return `${scaled.toFixed(digits)}${SI[step] ?? ''}`;
}

function decimals(value: number): number {
  const size = Math.abs(value);
  if (size >= 99.95) return 0;
  return size >= 9.995 ? 1 : 2;
}

/** A rate: 0, 12.5/s, 3.20M/s. */
export function perSecond(value: number): string {
  return value === 0 ? '0' : `${quantity(value)}/s`;
}

export function bitsPerSecond(value: number): string {
  return value === 0 ? '0' : `${quantity(value)}bit/s`;
}

export function bytes(value: number): string {
  return `${quantity(value)}B`;
}

/** 0.4ms, 12ms. */
export function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)}ms`;
}

/** Two units at most: 0s, 42s, 3m12s, 2h05m, 4d03h, 58w2d. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${pad(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h${pad(minutes % 60)}m`;
  const days = Math.floor(hours / 24);
  if (days < 100) return `${days}d${pad(hours % 24)}h`;
  return `${Math.floor(days / 7)}w${days % 7}d`;
}

/** Local time, `2026-03-01 14:05:09`. */
export function timestamp(time: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '-';
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${clock(time)}`;
}

export function clock(time: number): string {
  const date = new Date(time);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `10.0.0.1:80`, `[2001:db8::1]:80` (RFC 5952 §6). */
export function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
