/**
 * What could stand at the cursor: the commands and options that commander knows, the
 * words that an argument allows, and names asked of the daemon.
 *
 * Invariant: completion never fails and never waits long: without a daemon there are
 * no names, and that is all.
 */
import type { Argument, Command, Option } from 'commander';
import {
  EVENT_KINDS,
  type CertificateRow,
  type MemberRow,
  type PoolRow,
  type RevisionRow,
  type ServiceRow,
} from '../api/contract.js';

export interface Candidate {
  readonly word: string;
  readonly description: string;
}

/** Names that only the daemon knows. Each may throw. */
export interface NameSource {
  services(): Promise<ServiceRow[]>;
  pools(): Promise<PoolRow[]>;
  members(pool?: string): Promise<MemberRow[]>;
  revisions(): Promise<RevisionRow[]>;
  certificates(): Promise<CertificateRow[]>;
}

/** Tells the shell to complete file names itself. */
export const FILES: Candidate = { word: ':files', description: '' };

/** The words of a command line up to the cursor; the last one is being typed. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  let escaped = false;
  for (const character of line) {
    if (escaped) {
      word += character;
      escaped = false;
    } else if (character === '\\' && quote !== "'") {
      escaped = true;
    } else if (quote !== '') {
      if (character === quote) quote = '';
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
    } else if (/\s/.test(character)) {
      if (word !== '') words.push(word);
      word = '';
    } else {
      word += character;
    }
  }
  return [...words, word];
}

/** `words` without the program's own name; the last one is being typed. */
export async function complete(
  program: Command,
  words: readonly string[],
  names: (socket: string | undefined) => NameSource,
): Promise<Candidate[]> {
  const typed = words.at(-1) ?? '';
  const place = walk(program, words.slice(0, -1));
  const source = names(place.socket);
  const offered = await offer(place, typed, source);
  return offered.filter((candidate) => candidate === FILES || candidate.word.startsWith(typed));
}

interface Place {
  readonly command: Command;
  /** The option whose value is being typed. */
  readonly option: Option | null;
  /** Values of the arguments before this one. */
  readonly before: readonly string[];
  readonly socket: string | undefined;
}

/** Follows finished words through the tree of commands. */
function walk(program: Command, words: readonly string[]): Place {
  let command = program;
  let before: string[] = [];
  let socket: string | undefined;
  let option: Option | null = null;
  for (const word of words) {
    if (option !== null) {
      if (option.long === '--socket') socket = word;
      option = null;
    } else if (word.startsWith('-') && word !== '-') {
      const [flag, value] = word.split('=', 2);
      const found = optionsOf(command).find(({ long, short }) => long === flag || short === flag);
      if (found?.required === true && value === undefined) option = found;
      if (found?.long === '--socket' && value !== undefined) socket = value;
    } else {
      const next =
        before.length === 0 ? command.commands.find((one) => isCalled(one, word)) : undefined;
      if (next === undefined) before.push(word);
      else {
        command = next;
        before = [];
      }
    }
  }
  return { command, option, before, socket };
}

async function offer(place: Place, typed: string, names: NameSource): Promise<Candidate[]> {
  const { command, option, before } = place;
  if (option !== null) return values(option.name(), option.argChoices, before, names);
  const assigned = /^(--[a-z-]+)=/.exec(typed)?.[1];
  if (assigned !== undefined) {
    const found = optionsOf(command).find(({ long }) => long === assigned);
    if (found === undefined) return [];
    const offered = await values(found.name(), found.argChoices, before, names);
    return offered
      .filter((candidate) => candidate !== FILES)
      .map(({ word, description }) => ({ word: `${assigned}=${word}`, description }));
  }
  if (typed.startsWith('-')) {
    const options = optionsOf(command).map((one) => ({
      word: one.long ?? one.short ?? '',
      description: one.description,
    }));
    return [...options, { word: '--help', description: 'how to use this' }];
  }
  if (command.commands.length > 0 && before.length === 0) {
    return visible(command).map(asCandidate);
  }
  const { registeredArguments: known } = command;
  const last = known.at(-1);
  const argument: Argument | undefined =
    known[before.length] ?? (last?.variadic === true && last.name() === 'file' ? last : undefined);
  if (argument?.name() === 'command') return visible(root(command)).map(asCandidate);
  return argument === undefined ? [] : values(argument.name(), argument.argChoices, before, names);
}

/** By its name or by another one of it. */
export function isCalled(command: Command, word: string): boolean {
  return command.name() === word || command.aliases().includes(word);
}

function asCandidate(command: Command): Candidate {
  return { word: command.name(), description: command.summary() };
}

function root(command: Command): Command {
  return command.parent === null ? command : root(command.parent);
}

/** A command's own options and those of all above it. */
function optionsOf(command: Command): Option[] {
  const own = command.options.filter(({ hidden }) => !hidden);
  return command.parent === null ? own : [...own, ...optionsOf(command.parent)];
}

/** Commands that help shows too. */
function visible(command: Command): Command[] {
  return command.createHelp().visibleCommands(command);
}

/** What may stand for an argument or an option's value, by its name. */
async function values(
  name: string,
  choices: readonly string[] | undefined,
  before: readonly string[],
  names: NameSource,
): Promise<Candidate[]> {
  if (choices !== undefined) return choices.map((word) => ({ word, description: '' }));
  try {
    switch (name) {
      case 'file':
      case 'output':
      case 'passphrase-file':
      case 'socket':
      case 'state-dir':
      case 'run-dir':
      case 'bpf-dir':
        return [FILES];
      case 'service':
        return (await names.services()).map((row) => ({
          word: row.name,
          description: `${row.address} ${row.port}/${row.protocol}`,
        }));
      case 'pool':
        return (await names.pools()).map((row) => ({
          word: row.name,
          description: `${row.membersUp}/${row.membersTotal} up`,
        }));
      case 'member':
        return (await names.members(before[0])).map((row) => ({
          word: row.member,
          description: `${row.pool} ${row.state}`,
        }));
      case 'certificate':
        return (await names.certificates()).map((row) => ({
          word: row.name,
          description: row.kind,
        }));
      case 'ca':
        return (await names.certificates())
          .filter(({ kind }) => kind === 'authority')
          .map((row) => ({ word: row.name, description: row.kind }));
      case 'kind':
        return EVENT_KINDS.map((word) => ({ word, description: '' }));
      case 'revision':
      case 'before':
      case 'if-match':
        return (await names.revisions()).map((row) => ({
          word: String(row.revision),
          description: `${row.author} ${row.comment}`.trim(),
        }));
      default:
        return [];
    }
  } catch {
    // No daemon, or it refused: a completion has nowhere to say so and offers nothing.
    return [];
  }
}
