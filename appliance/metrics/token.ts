/**
 * The bearer token of the metrics (RFC 6750), from a file that is read anew for each request, so that
 * a new token counts at once.
 *
 * Invariant: nothing of a token is in an error.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { open } from 'node:fs/promises';

const LEAST_LENGTH = 16;
const MOST_BYTES = 4096;
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/** Why the file gives no token: a sentence. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
}

/** @throws TokenError */
export async function readToken(file: string): Promise<string> {
  let text: string;
  try {
    const handle = await open(file, 'r');
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw new TokenError(`${file} is no file.`);
      if ((stats.mode & 0o004) !== 0) {
        throw new TokenError(`Everybody can read ${file}: chmod o= ${file}.`);
      }
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MOST_BYTES), 0, MOST_BYTES, 0);
      text = buffer.toString('utf8', 0, bytesRead).trim();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof TokenError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TokenError(`The token in ${file} cannot be read: ${why}.`, { cause });
  }
  if (text.length < LEAST_LENGTH || !TOKEN.test(text)) {
    throw new TokenError(
      `${file} holds no token: write one line of at least ${LEAST_LENGTH} letters and digits, as of "openssl rand -hex 32".`,
    );
  }
  return text;
}

/** Whether an Authorization field has the token; takes as long whatever it has. */
export function hasToken(authorization: string | undefined, token: string): boolean {
  const given = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
