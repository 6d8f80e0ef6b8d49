/**
 * Passwords and passphrases from the terminal, where they are not shown, or from stdin.
 * Invariant: none is ever an argument, which every process of the system could read.
 */
import { readOctets } from './cert-files.js';
import { askSecret, terminalThere } from './ask.js';
import type { Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';

export interface PasswordOptions {
  readonly passwordStdin?: boolean;
}

export const PASSWORD_OPTION = [
  '--password-stdin',
  'read the password from stdin, its first line',
] as const;

export const PASSPHRASE_OPTION = [
  '--passphrase-stdin',
  'the first line of stdin is the passphrase',
] as const;

type Word = 'password' | 'passphrase';

/** Where secrets come from: of a command's options. */
interface Source {
  readonly word: Word;
  readonly stdin: boolean;
}

/** The lines of stdin that are secrets, in this order; asked for one by one at a terminal. */
async function readSecrets(
  context: Context,
  { word, stdin }: Source,
  questions: readonly string[],
): Promise<string[]> {
  if (stdin) {
    const lines = (await textOfStdin()).split(/\r?\n/).slice(0, questions.length);
    if (lines.length === questions.length && lines.every((line) => line !== '')) return lines;
    throw new CliError(
      EXIT.usage,
      questions.length === 1
        ? `There is no ${word} on stdin.`
        : `On stdin two lines are expected: the old ${word} and the new one.`,
    );
  }
  if (!terminalThere()) {
    throw new CliError(
      EXIT.usage,
      `There is no terminal to ask for the ${word}: give it on stdin, with --${word}-stdin.`,
    );
  }
  const answers: string[] = [];
  for (const question of questions) answers.push(await askSecret(context, `${question}: `));
  return answers;
}

async function textOfStdin(): Promise<string> {
  const octets = await readOctets(['-']);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(octets);
  } catch (cause) {
    throw new CliError(EXIT.usage, 'What is on stdin is not UTF-8 text.', undefined, cause);
  } finally {
    octets.fill(0);
  }
}

/** What was typed at a terminal is typed once more. */
async function repeated(
  context: Context,
  source: Source,
  secret: string,
  undone: string,
): Promise<void> {
  if (source.stdin) return;
  const [second] = await readSecrets(context, source, ['The same again']);
  if (second !== secret) {
    throw new CliError(EXIT.usage, `The two ${source.word}s differ: nothing was ${undone}.`);
  }
}

const passwords = ({ passwordStdin }: PasswordOptions): Source => ({
  word: 'password',
  stdin: passwordStdin === true,
});

export function readPasswords(
  context: Context,
  options: PasswordOptions,
  questions: readonly string[],
): Promise<string[]> {
  return readSecrets(context, passwords(options), questions);
}

/** A new one; at a terminal it is typed twice. */
export async function readNewPassword(context: Context, options: PasswordOptions): Promise<string> {
  const [password = ''] = await readPasswords(context, options, ['New password']);
  await again(context, options, password);
  return password;
}

export function again(context: Context, options: PasswordOptions, password: string): Promise<void> {
  return repeated(context, passwords(options), password, 'changed');
}

/** `fresh`: one that is chosen now; at a terminal it is typed twice. */
export async function readPassphrase(
  context: Context,
  { passphraseStdin }: { readonly passphraseStdin?: boolean },
  fresh: boolean,
): Promise<string> {
  const source = { word: 'passphrase', stdin: passphraseStdin === true } as const;
  const [passphrase = ''] = await readSecrets(context, source, ['Passphrase']);
  if (fresh) await repeated(context, source, passphrase, 'written');
  return passphrase;
}
