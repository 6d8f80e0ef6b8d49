/**
 * The lab (`npm start`): a client, a unit and three members in network namespaces, with
 * real traffic through the fast path. On a terminal it stays, with a live view and keys;
 * without one it plays a fixed script of acts, the last of them with two units.
 *
 * Invariant: without a terminal the last line is `lab: ok` or `lab: failed`, the exit
 * status says the same, and whatever happens, everything that was made is removed.
 */
import { lacking } from '../support/needs.js';
import { acts } from './acts.js';
import { exampleText, Lab } from './lab.js';
import { runLive } from './live.js';
import { playPair } from './pair-script.js';
import { describeSeen, Stage, type Seen } from './stage.js';
import { removeStaleLabs } from './topology.js';

/** Clients of the script: enough to see a lost packet, little enough for a small machine. */
const scriptLoad = { rate: 120, concurrency: 64, long: 40, heartbeat: 100 };

function report(name: string, seen: Seen): boolean {
  return say(name, describeSeen(seen), seen.troubles);
}

function say(name: string, text: string, troubles: readonly string[]): boolean {
  const good = troubles.length === 0;
  console.log(`${(good ? 'ok' : 'FAILED').padEnd(6)} ${name}: ${text}`);
  for (const trouble of troubles) console.log(`       ${trouble}`);
  return good;
}

async function script(lab: Lab): Promise<boolean> {
  const stage = await Stage.open(lab, () => scriptLoad);
  let good = true;
  for (const act of acts) {
    try {
      good = report(act.name, await stage.play(act)) && good;
    } catch (error) {
      console.log(`FAILED ${act.name}: ${(error as Error).message}`);
      console.log(`       the daemon's last words:\n${lab.unit.logTail()}`);
      return false; // the lab is not as the next act expects it
    }
  }
  return report('the clients finish', await stage.close()) && good;
}

async function main(): Promise<number> {
  const lack = lacking('lab');
  if (lack !== null) {
    console.error(`The lab cannot run here: ${lack}`);
    return 1;
  }
  const stale = removeStaleLabs();
  if (stale.length > 0)
    console.log(`removed what an earlier lab left (process ${stale.join(', ')})`);

  const terminal = process.stdin.isTTY && process.stdout.isTTY;
  const lab = await Lab.open(exampleText(), (line) => {
    console.log(line);
  });
  try {
    if (terminal) {
      await runLive(lab);
      console.log('removing the lab …');
      await lab.close();
      console.log('The lab is over; all that it made is removed.');
      return 0;
    }
    if (!(await script(lab))) return verdict(false);
  } finally {
    await lab.close();
  }
  console.log('two units in a network of their own, with a cable between them');
  return verdict(
    await playPair((name, notes, troubles) => say(name, notes.join('\n       '), troubles)),
  );
}

/** The last line, and the exit status. */
function verdict(good: boolean): number {
  console.log(good ? 'lab: ok' : 'lab: failed');
  return good ? 0 : 1;
}

// The topology's own exit handler removes everything; a signal only has to lead there.
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => {
    console.log(`${signal}: removing the lab`);
    process.exit(status);
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`${(error as Error).message}\nlab: failed`);
  process.exitCode = 1;
}
