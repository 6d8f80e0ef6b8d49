/** What carries alerts to one target. */
import type { Alert as TargetSettings } from '../config/alerts.js';
import { FileError, readSecretText, readSmallFile } from '../tls/small-file.js';
import { plain, type Alert } from './alert.js';

/** What became of a delivery; the sentence is what the other side said, or why it said nothing. */
export type Outcome =
  /** `trouble`: it went to some only, a sentence. */
  | { readonly result: 'delivered'; readonly said: string; readonly trouble: string | null }
  /** It cannot succeed, however often it is tried. */
  | { readonly result: 'refused'; readonly said: string }
  /** `after`: not before so many milliseconds, as the other side asked. */
  | { readonly result: 'failed'; readonly said: string; readonly after: number };

export interface Transport {
  /** How many alerts one delivery may carry. */
  readonly most: number;
  /** Never throws, and ends within its time limit, or at once when it is aborted. */
  send(alerts: readonly Alert[], signal: AbortSignal): Promise<Outcome>;
}

/** What transports say of the unit that sends. */
export interface Sender {
  readonly version: string;
  readonly now: () => number;
}

export type SettingsOf<T extends TargetSettings['type']> = Extract<TargetSettings, { type: T }>;

const LARGEST_SECRET = 4096;
const LARGEST_CA = 1 << 20;
const LONGEST_ANSWER = 300;

export function delivered(said: string, trouble: string | null = null): Outcome {
  return {
    result: 'delivered',
    said: short(said),
    trouble: trouble === null ? null : short(trouble),
  };
}

export function refused(said: string): Outcome {
  return { result: 'refused', said: short(said) };
}

export function failed(said: string, after = 0): Outcome {
  return { result: 'failed', said: short(said), after };
}

/** What came from elsewhere, fit to be shown. */
function short(text: string): string {
  const line = plain(text.trim());
  return line.length > LONGEST_ANSWER ? `${line.slice(0, LONGEST_ANSWER - 1)}…` : line;
}

/**
 * Delivers within the time of the target, as long as `signal` does not abort. Whatever is thrown is a
 * failure, or, where `final` says so, a refusal.
 */
export async function attempt(
  timeout: number,
  signal: AbortSignal,
  deliver: (limit: AbortSignal) => Promise<Outcome>,
  final: (error: unknown) => boolean = () => false,
): Promise<Outcome> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
  try {
    return await deliver(limit);
  } catch (error) {
    if (error instanceof FileError) return failed(error.message);
    const said = because(error, timeout, limit);
    return final(error) ? refused(said) : failed(said);
  }
}

/** Why something failed, as the end of a sentence. */
function because(error: unknown, timeout: number, signal: AbortSignal): string {
  if (signal.aborted) {
    const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
    return late ? `no answer within ${timeout / 1000} s` : 'it was given up';
  }
  if (!(error instanceof Error)) return String(error);
  // The errors of a connection that was tried at several addresses say nothing by themselves.
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map((one) => (one instanceof Error ? one.message : String(one))).join('; ');
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return error.message === '' ? code : error.message;
}

/**
 * The secret of a target, read anew for each delivery, so that a file that was put right is enough.
 *
 * @throws FileError with a whole sentence
 */
export function secretOf(key: string, path: string, shortest: number): string {
  return named(key, path, () => {
    const text = readSecretText(path, LARGEST_SECRET);
    if (text === '') throw new FileError('is empty');
    // A private key, say, is no password, and must not be sent as one to whoever is named.
    if (!/^[^\p{C}\ufffd]{1,256}$/u.test(text)) {
      throw new FileError('is not one line of at most 256 printable characters');
    }
    if (text.length >= shortest) return text;
    throw new FileError(`has fewer than ${shortest} characters, which can be guessed`);
  });
}

/** @throws FileError with a whole sentence */
export function authoritiesOf(path: string | undefined): { readonly ca?: Buffer } {
  if (path === undefined) return {};
  return named('ca-file', path, () => {
    const ca = readSmallFile(path, LARGEST_CA);
    if (ca.includes('-----BEGIN CERTIFICATE-----')) return { ca };
    throw new FileError('has no certificate in PEM');
  });
}

function named<T>(key: string, path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new FileError(`${key} ${path} ${error.message}`, { cause: error });
  }
}
