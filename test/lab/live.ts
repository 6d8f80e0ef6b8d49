/**
 * The lab on a terminal: two units as a pair with clients at work, and the dashboard of unit-a. Members
 * that somebody kills (kill.ts, from another terminal) come back by themselves.
 *
 * Invariant: when the dashboard ends the lab does, with all that it made.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PairLab } from './pair-lab.js';
import { Clients, pairThem, PAIR_LAB } from './pair-script.js';

const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
const BACK_MS = 15_000;

const WHAT_TO_DO = `From another terminal, in this folder:
  npm run kill member-2     its servers die (kill -9), and are back after ${BACK_MS / 1000} s
  npm run kill unit-b       the other unit loses its power, for good
  npm run kill              says what there is`;

/** Resolves once the dashboard was left: with its exit status. */
export function runLive(say: (line: string) => void): Promise<number> {
  let status = 0;
  return PairLab.run(PAIR_LAB, async (lab) => {
    say('two units, a client and three members, each a network namespace');
    await pairThem(lab);
    say('the units are a pair, with one configuration');
    const clients = await Clients.start(lab);
    say(`clients are at work\n${WHAT_TO_DO}`);
    const stop = lab.members?.keepRunning(BACK_MS);
    try {
      status = await dashboard(lab.a.socket);
    } finally {
      stop?.();
    }
    say('removing the lab');
    await clients.stop();
  }).then(() => status);
}

function dashboard(socket: string): Promise<number> {
  const child = spawn(process.execPath, [program, 'tui'], {
    stdio: 'inherit',
    // What belongs to the shell's job here is the whole lab, and would stand still.
    env: { ...process.env, WEIR_SOCKET: socket, WEIR_NO_SUSPEND: '1' },
  });
  const end = (): void => void child.kill('SIGTERM');
  process.once('exit', end);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      process.removeListener('exit', end);
      resolve(code ?? 1);
    });
  });
}
