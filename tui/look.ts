/**
 * What a terminal can show, from its name and the environment.
 *
 * Invariant: when in doubt, less: what is plain ASCII without colours is readable everywhere.
 */
import type { Look } from './frame.js';

export const COLOUR_CHOICES = ['none', '16', '256'] as const;

export interface LookWishes {
  /** Undefined: as the terminal is. */
  readonly ascii?: boolean | undefined;
  readonly colour?: (typeof COLOUR_CHOICES)[number] | undefined;
}

/** `utf8`: whether the locale says so (locale(7)). */
export function lookOf(
  environment: Readonly<Record<string, string | undefined>>,
  utf8: boolean,
  wishes: LookWishes,
): Look {
  const terminal = environment['TERM'] ?? '';
  // The console's fonts have letters and few signs, and a vt220 has no UTF-8 at all.
  const plainFont = /^(linux|vt\d|dumb|ansi)/.test(terminal);
  const unicode = wishes.ascii === undefined ? utf8 && !plainFont : !wishes.ascii;
  return { unicode, colours: coloursOf(environment, terminal, wishes.colour) };
}

function coloursOf(
  environment: Readonly<Record<string, string | undefined>>,
  terminal: string,
  wish: LookWishes['colour'],
): Look['colours'] {
  if (wish !== undefined) return wish === 'none' ? 0 : wish === '16' ? 16 : 256;
  if (environment['NO_COLOR'] || /^(vt\d|dumb)/.test(terminal) || terminal === '') return 0;
  const direct = /truecolor|24bit/.test(environment['COLORTERM'] ?? '');
  return direct || /256colou?r|direct/.test(terminal) ? 256 : 16;
}
