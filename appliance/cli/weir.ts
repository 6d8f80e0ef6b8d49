#!/usr/bin/env node
/**
 * The `weir` command: parses the command line, runs one command, and ends with its
 * exit status (exit-codes.ts).
 *
 * Invariant: the status is set, not exited with, so that what was written reaches a
 * pipe in full.
 */
import { CommanderError } from 'commander';
import { processContext, type Context } from './context.js';
import { CliError, EXIT, whyNot, type ExitCode } from './exit-codes.js';
import { paint } from './format.js';
import { createProgram } from './program.js';

async function main(): Promise<void> {
  const context = processContext();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `weir … | head`: whoever read has seen enough.
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    process.stderr.write(`weir: Cannot write the answer: ${whyNot(error)}.\n`);
    process.exit(EXIT.failure);
  });
  // Nobody reads the errors: the exit status still tells.
  process.stderr.on('error', () => undefined);
  try {
    await createProgram(context).parseAsync(process.argv);
  } catch (error) {
    process.exitCode = report(context, error);
  }
}

function report(context: Context, error: unknown): ExitCode {
  if (error instanceof CommanderError) {
    // commander has said it already; help and version that were asked for are no error.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  if (error instanceof CliError) {
    if (context.json) context.err(`${JSON.stringify(error.body)}\n`);
    else context.err(sentences(context, error.message));
    return error.code;
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  context.err(`weir: this is a defect of weir itself, please report it:\n${detail}\n`);
  return EXIT.failure;
}

/** Lines that name a place in a file come first and stay as they are, for editors. */
function sentences(context: Context, message: string): string {
  const lines = message.split('\n');
  const last = lines.pop() ?? '';
  const places = lines.map((line) => `${line}\n`).join('');
  return `${places}${paint(context.look, 'red', 'weir:')} ${last}\n`;
}

void main();
