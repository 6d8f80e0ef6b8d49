/**
 * The result of the small pure parsers (durations, addresses …).
 *
 * Invariant: a parser never throws, and its message is a sentence that tells the
 * administrator what to write instead, because it is shown as it stands.
 */

export type Parsed<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

export function parsed<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function refused(message: string): { readonly ok: false; readonly message: string } {
  return { ok: false, message };
}
