/**
 * Asks whoever sits at the terminal.
 *
 * Invariant: questions and what is typed go nowhere but to the terminal, and an answer that is secret
 * not even there.
 */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';

/** Whether there is anybody to ask. */
export function terminalThere(): boolean {
  return process.stdin.isTTY === true;
}

/** One line that is not shown while it is typed. @throws CliError (usage) when there is none. */
export function askSecret(context: Context, question: string): Promise<string> {
  return ask(context, question, new Writable({ write: (_text, _encoding, done) => done() }));
}

/** One line that is shown. @throws CliError (usage) when there is none. */
export async function askLine(context: Context, question: string): Promise<string> {
  return (await ask(context, question, process.stderr)).trim();
}

/** Anything but yes is no. */
export async function askYes(context: Context, question: string): Promise<boolean> {
  return /^\s*y(es)?\s*$/i.test(await ask(context, `${question} [y/N] `, process.stderr));
}

async function ask(context: Context, question: string, echo: NodeJS.WritableStream) {
  const lines = createInterface({ input: process.stdin, output: echo, terminal: true });
  lines.setPrompt(question);
  if (echo === process.stderr) lines.prompt();
  else context.err(question);
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      // Also at Ctrl-C and Ctrl-D.
      lines.once('close', () => {
        reject(new CliError(EXIT.usage, 'Nothing was answered.'));
      });
    });
  } finally {
    lines.close();
    if (echo !== process.stderr) context.err('\n');
  }
}
