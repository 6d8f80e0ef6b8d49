/**
 * Documents from files and stdin, and the errors in them.
 *
 * Invariant: an error names file, line and column in the form that editors and
 * compilers use (`file:line:column: …`), so that they can jump there.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { BODY_LIMIT_BYTES, type ErrorBody } from '../api/contract.js';
import { formatConfigError } from '../config/errors.js';
import { CliError, EXIT, refusal, whyNot } from './exit-codes.js';
import { clean, plural } from './format.js';

export interface DocumentText {
  /** As errors name it: the path given, or `<stdin>`. */
  readonly name: string;
  readonly text: string;
}

/** `path` is a file or `-` for stdin. Errors: CliError (failure, invalid when too large or not UTF-8). */
export async function readDocument(path: string): Promise<DocumentText> {
  const name = path === '-' ? '<stdin>' : path;
  const bytes = path === '-' ? await collect(name, process.stdin) : await readFileOf(path);
  return { name, text: decode(name, bytes) };
}

function decode(name: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CliError(EXIT.invalid, `${name} is not UTF-8 text.`, undefined, cause);
  }
}

/** For those who send it: nothing at all is no document. */
export function refuseEmpty({ name, text }: DocumentText): void {
  if (text.trim() !== '') return;
  throw new CliError(
    EXIT.invalid,
    `${name} is empty. A document begins with "version: 1"; see 'weir reference'.`,
  );
}

async function readFileOf(path: string): Promise<Buffer> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    // A stream, because a pipe (`<(…)`) has no size to ask for.
    return await collect(path, file.createReadStream({ autoClose: false }));
  } finally {
    await file.close();
  }
}

async function collect(name: string, stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > BODY_LIMIT_BYTES) break;
    }
  } catch (error) {
    throw unreadable(name, error);
  }
  if (size > BODY_LIMIT_BYTES) {
    const message = `${name} is larger than ${BODY_LIMIT_BYTES} bytes, the most that a document may have.`;
    throw refusal({ error: { code: 'too-large', message } });
  }
  return Buffer.concat(chunks);
}

function unreadable(path: string, error: unknown): CliError {
  return new CliError(EXIT.failure, `Cannot read ${path}: ${whyNot(error)}.`, undefined, error);
}

/**
 * Makes the daemon's refusal of a document name where the document came from: a file,
 * or words such as `revision 6`.
 */
export async function namingErrorsOf<T>(origin: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const details = error.body.error.details ?? [];
    if (details.length === 0) throw error;
    throw refusal(error.body, documentProblem(origin, error.body));
  }
}

/** All errors of a refused document, a line each, and in the last line how many there are. */
export function documentProblem(origin: string, { error }: ErrorBody): string {
  const details = error.details ?? [];
  const lines = details.map((detail) => clean(formatConfigError({ ...detail, file: origin })));
  const summary =
    error.code === 'unsupported'
      ? `This build cannot execute ${plural(details.length, 'part')} of it: nothing was changed.`
      : `${origin} is not valid: ${plural(details.length, 'error')}.`;
  return [...lines, summary].join('\n');
}
