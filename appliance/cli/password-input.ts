/**
 * Passwords from the terminal, where they are not shown, or from stdin.
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

/** The lines of stdin that are passwords, in this order; asked for one by one at a terminal. */
export async function readPasswords(
  context: Context,
  options: PasswordOptions,
  questions: readonly string[],
): Promise<string[]> {
  if (options.passwordStdin === true) {
    const octets = await readOctets(['-']);
    const lines = octets.toString('utf8').split(/\r?\n/).slice(0, questions.length);
    octets.fill(0);
    if (lines.length === questions.length && lines.every((line) => line !== '')) return lines;
    throw new CliError(
      EXIT.usage,
      questions.length === 1
        ? 'There is no password on stdin.'
        : 'On stdin two lines are expected: the old password and the new one.',
    );
  }
  if (!terminalThere()) {
    throw new CliError(
      EXIT.usage,
      'There is no terminal to ask for the password: give it on stdin, with --password-stdin.',
    );
  }
  const answers: string[] = [];
  for (const question of questions) answers.push(await askSecret(context, `${question}: `));
  return answers;
}

/** A new one; at a terminal it is typed twice. */
export async function readNewPassword(context: Context, options: PasswordOptions): Promise<string> {
  const [password = ''] = await readPasswords(context, options, ['New password']);
  await again(context, options, password);
  return password;
}

export async function again(
  context: Context,
  options: PasswordOptions,
  password: string,
): Promise<void> {
  if (options.passwordStdin === true) return;
  const [repeated] = await readPasswords(context, options, ['Again']);
  if (repeated !== password) {
    throw new CliError(EXIT.usage, 'The two passwords differ: nothing was changed.');
  }
}
