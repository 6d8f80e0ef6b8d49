/**
 * What a command works with: where it writes, what the terminal can do, and the
 * options that every command has.
 *
 * Invariant: answers go to stdout, everything else (errors, hints, warnings) to
 * stderr, so that `weir … --json | jq` never meets a stray line.
 */
import type { Command } from 'commander';
import { DEFAULT_SOCKET } from '../api/contract.js';
import { Client } from './client.js';
import { readable, unpainted, type Look } from './format.js';
import { secretFor } from './session-file.js';

export interface Context {
  readonly look: Look;
  /** Columns of the terminal; null when stdout is none. */
  readonly width: number | null;
  readonly environment: NodeJS.ProcessEnv;
  /** Whether `--json` is on the command line: errors are JSON too, then. */
  readonly json: boolean;
  /** Data: as it is. */
  out(text: string): void;
  /** Words for people: in what their terminal can show. */
  say(text: string): void;
  err(text: string): void;
  now(): number;
}

/** Options of the program that hold for each command. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly socket?: string;
}

export function processContext(): Context {
  const environment = process.env;
  const terminal = process.stdout.isTTY === true;
  const look: Look = {
    colour: terminal && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb',
    unicode: speaksUtf8(environment),
  };
  return {
    look,
    // A serial console reports 0 columns: take the usual 80.
    width: terminal ? process.stdout.columns || 80 : null,
    environment,
    json: process.argv.includes('--json'),
    out: (text) => void process.stdout.write(text),
    say: (text) => void process.stdout.write(readable(look, text)),
    err: (text) => {
      const words = readable(look, text);
      process.stderr.write(process.stderr.isTTY === true ? words : unpainted(words));
    },
    now: Date.now,
  };
}

/** The first of these that is set and not empty counts (locale(7)). */
export function speaksUtf8(environment: NodeJS.ProcessEnv): boolean {
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return /utf-?8/i.test(locale);
}

export function clientOf(command: Command, context: Context, timeoutMs?: number): Client {
  const socket = socketFor(command, context);
  const client = new Client(socket, timeoutMs);
  client.secret = secretFor(context, socket);
  return client;
}

export function socketFor(command: Command, context: Context): string {
  return command.optsWithGlobals<GlobalOptions>().socket ?? socketOf(context);
}

/** The daemon's socket unless `--socket` names one. */
export function socketOf({ environment }: Context): string {
  // Set but empty is as good as not set.
  return environment['WEIR_SOCKET'] || DEFAULT_SOCKET;
}

export function wantsJson(command: Command): boolean {
  return command.optsWithGlobals<GlobalOptions>().json === true;
}

/** With `--json` the value, else what `text` makes of it. */
export async function answer<T>(
  command: Command,
  context: Context,
  value: T,
  text: (value: T) => string | Promise<string>,
): Promise<void> {
  if (wantsJson(command)) context.out(`${JSON.stringify(value, null, 2)}\n`);
  else context.say(await text(value));
}
