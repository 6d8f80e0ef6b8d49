/**
 * Files of certificates, keys and passphrases, in and out.
 *
 * Invariant: a file that gets a key is made here, for its owner alone, and never in the place of
 * another one; keys are not written to a terminal. Octets of keys are buffers, wiped after use.
 */
import { open } from 'node:fs/promises';
import { CliError, EXIT, whyNot } from './exit-codes.js';
import { writeWholeFile } from './secret-file.js';

const LARGEST = 1024 * 1024;

/** All files one after the other; `-` is stdin. Errors: CliError. */
export async function readOctets(paths: readonly string[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const path of paths) parts.push(...(await readOne(path)), Buffer.from('\n'));
  const all = paths.length === 1 ? parts.slice(0, -1) : parts;
  const whole = Buffer.concat(all);
  for (const part of parts) part.fill(0);
  if (whole.length <= LARGEST) return whole;
  throw new CliError(
    EXIT.invalid,
    `${paths.join(', ')}: larger than 1 MiB, which no certificate with its key is.`,
  );
}

async function readOne(path: string): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  let size = 0;
  const collect = async (stream: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of stream) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > LARGEST) return;
    }
  };
  try {
    if (path === '-') {
      await collect(process.stdin);
      return chunks;
    }
    const file = await open(path, 'r');
    try {
      await collect(file.createReadStream({ autoClose: false }));
    } finally {
      await file.close();
    }
    return chunks;
  } catch (error) {
    throw new CliError(EXIT.failure, `Cannot read ${path}: ${whyNot(error)}.`, undefined, error);
  }
}

/** The first line of a file; undefined when none was named. */
export async function readPassphrase(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const bytes = await readOctets([path]);
  try {
    const [line = ''] = new TextDecoder('utf-8', { fatal: true }).decode(bytes).split(/\r?\n/);
    if (line !== '') return line;
  } catch (cause) {
    throw new CliError(EXIT.invalid, `${path} is not UTF-8 text.`, undefined, cause);
  } finally {
    bytes.fill(0);
  }
  throw new CliError(EXIT.invalid, `${path} holds no passphrase: its first line is empty.`);
}

/** A new file of mode 0600, or stdout as `-` unless that is a terminal. */
export async function writeSecret(path: string, bytes: Buffer): Promise<void> {
  if (path === '-') {
    if (process.stdout.isTTY === true) {
      throw new CliError(
        EXIT.usage,
        'A private key is not written to a terminal: name a file with --output.',
      );
    }
    await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()));
    return;
  }
  await writeWholeFile(path, bytes);
}
