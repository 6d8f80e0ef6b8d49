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
import { CliError, EXIT, type ExitCode } from './exit-codes.js';
import { paint } from './format.js';
import { createProgram } from './program.js';

async function main(): Promise<void> {
  const context = processContext();
  // `weir … | head`: whoever read has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.ok);
  });
  try {
    await createProgram(context).parseAsync(process.argv);
  } catch (error) {
    process.exitCode = report(context, error, process.argv.includes('--json'));
  }
}

function report(context: Context, error: unknown, json: boolean): ExitCode {
  if (error instanceof CommanderError) {
    // commander has said it already; help and version that were asked for are no error.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  if (error instanceof CliError) {
    if (json) context.err(`${JSON.stringify(error.body)}\n`);
    else context.err(`${paint(context.look, 'red', 'weir:')} ${error.message}\n`);
    return error.code;
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  context.err(`weir: this is a defect of weir itself, please report it:\n${detail}\n`);
  return EXIT.failure;
}

await main();
