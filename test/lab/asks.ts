/**
 * Questions to a service from the lab's client, one connection after the other, by
 * ask-process.ts: who answered, in that order.
 *
 * Invariant: a question without its answer throws.
 */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AskSettings } from './ask-process.js';
import { ended, start } from './commands.js';
import type { Lab, ServiceTarget } from './lab.js';

const program = fileURLToPath(new URL('./ask-process.js', import.meta.url));

export type Question = Partial<Pick<AskSettings, 'count' | 'from' | 'bytes'>>;

export function targetOf(lab: Lab, name: string): ServiceTarget {
  const target = lab.targets.find((one) => one.name === name);
  if (target === undefined) throw new Error(`the lab has no service ${name}`);
  return target;
}

function begin(lab: Lab, name: string, question: Question, hold: boolean): ChildProcess {
  const { protocol, address, port } = targetOf(lab, name);
  const settings: AskSettings = {
    ...{ protocol, address, port, count: 1, from: [], bytes: 1, timeout: 10_000 },
    ...question,
    hold,
  };
  const args = [process.execPath, program, JSON.stringify(settings)];
  return start(lab.topology.namespace('client'), args);
}

function answers(child: ChildProcess, name: string): Promise<string[]> {
  let errors = '';
  child.stderr?.on('data', (text: Buffer) => (errors += text.toString('utf8')));
  return new Promise((resolve, reject) => {
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).once('line', (line) => {
        resolve(JSON.parse(line) as string[]);
      });
    }
    child.once('close', (code, signal) => {
      reject(new Error(`asking ${name} ended (${code ?? signal}): ${errors.trim()}`));
    });
  });
}

export async function ask(lab: Lab, name: string, question: Question = {}): Promise<string[]> {
  const child = begin(lab, name, question, false);
  const members = await answers(child, name);
  await ended(child);
  return members;
}

/** Connections that stay open while `use` runs, which is told who answered them. */
export async function holding<T>(
  lab: Lab,
  name: string,
  count: number,
  use: (members: string[]) => Promise<T>,
): Promise<T> {
  const child = begin(lab, name, { count }, true);
  try {
    return await use(await answers(child, name));
  } finally {
    child.stdin?.end();
    await ended(child);
  }
}

/** How many of the answers came of each member. */
export function tally(members: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const member of members) counts[member] = (counts[member] ?? 0) + 1;
  return counts;
}
