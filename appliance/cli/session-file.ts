/**
 * The session of `weir login`, kept until `weir logout` in a file of the user alone, by the daemon's
 * socket, under XDG_RUNTIME_DIR, which is gone with the last login to the system.
 *
 * Invariant: a file that another user could write or read is not believed, and none is made there.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { writeWhole } from '../whole-file.js';
import type { Context } from './context.js';
import { CliError, EXIT, whyNot } from './exit-codes.js';

const schema = z.record(z.string(), z.object({ token: z.string(), expires: z.number() }));
type Sessions = z.output<typeof schema>;

/** Null: the environment names no place for it. */
function pathOf({ environment }: Pick<Context, 'environment'>): string | null {
  const folder = environment['XDG_RUNTIME_DIR'] ?? '';
  return folder.startsWith('/') ? join(folder, 'weir', 'sessions.json') : null;
}

/** What requests to this socket are made with: WEIR_TOKEN, else the session; null: neither. */
export function secretFor(context: Context, socket: string): string | null {
  const token = context.environment['WEIR_TOKEN'] ?? '';
  if (token !== '') {
    if (/^[\x21-\x7e]{1,200}$/.test(token)) return token;
    throw new CliError(EXIT.usage, 'WEIR_TOKEN is no token: they begin with weir_token_.');
  }
  return sessionFor(context, socket);
}

export function sessionFor(context: Context, socket: string): string | null {
  const found = read(context)[socket];
  return found !== undefined && found.expires > context.now() ? found.token : null;
}

/** `session` null forgets it. Errors: CliError. */
export function keepSession(
  context: Context,
  socket: string,
  session: { readonly token: string; readonly expires: number } | null,
): void {
  const path = pathOf(context);
  if (path === null) {
    if (session === null) return;
    throw new CliError(
      EXIT.failure,
      'A session is kept under XDG_RUNTIME_DIR, which is not set: set it, or use a token in WEIR_TOKEN.',
    );
  }
  const others = Object.entries(read(context)).filter(([of]) => of !== socket);
  const next: Sessions = Object.fromEntries(
    session === null ? others : [...others, [socket, session]],
  );
  try {
    if (Object.keys(next).length === 0) {
      rmSync(path, { force: true });
      return;
    }
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeWhole(path, JSON.stringify(next));
  } catch (error) {
    throw new CliError(EXIT.failure, `Cannot write ${path}: ${whyNot(error)}.`, undefined, error);
  }
}

function read(context: Context): Sessions {
  const path = pathOf(context);
  if (path === null) return {};
  try {
    const file = openSync(path, 'r');
    try {
      const { uid, mode } = fstatSync(file);
      if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
        throw new CliError(
          EXIT.failure,
          `${path} is not yours alone: remove it, and log in again.`,
        );
      }
      const parsed = schema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
      if (parsed.success) return parsed.data;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    if (!(error instanceof SyntaxError)) {
      throw new CliError(EXIT.failure, `Cannot read ${path}: ${whyNot(error)}.`, undefined, error);
    }
  }
  throw new CliError(EXIT.failure, `${path} is damaged: remove it, and log in again.`);
}
