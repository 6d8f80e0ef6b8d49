/**
 * A user's new password, for whoever chose it in the boot loader's menu: nobody but who stands at the
 * box can. It runs as root on the consoles, before the dashboard takes them.
 *
 * Invariant: it ends when a password was changed, or when nobody wants one changed, and not before.
 */
import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { DEFAULT_SOCKET, type UserRow } from '../../api/contract.js';
import { Client } from '../../cli/client.js';
import { nameToChange, offer } from './choice.js';

async function users(): Promise<readonly UserRow[]> {
  return new Client(DEFAULT_SOCKET).json<readonly UserRow[]>({ path: '/v1/users' });
}

async function answerTo(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** By the command that does it everywhere else, with the terminal in its hands. */
function weir(...words: readonly string[]): boolean {
  const { error, status } = spawnSync('/usr/bin/weir', words, { stdio: 'inherit' });
  if (error !== undefined) throw error;
  return status === 0;
}

async function main(): Promise<void> {
  for (;;) {
    const rows = await users();
    process.stdout.write(`\n${offer(rows)}\n`);
    if (rows.length === 0) return;
    const answer = nameToChange(await answerTo('Whose password? '), rows);
    if (answer.kind === 'nobody') return;
    if (answer.kind === 'unknown') {
      process.stdout.write(`${answer.why}\n`);
      continue;
    }
    if (!weir('user', 'password', answer.user.name)) continue;
    if (answer.user.disabled) weir('user', 'set', answer.user.name, '--enable');
    weir('user', 'unlock', answer.user.name);
    return;
  }
}

void main();
