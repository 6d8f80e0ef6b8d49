/**
 * The lab (`npm start`): a client, units and three members in network namespaces, with real traffic. On
 * a terminal two units are a pair, and the dashboard of one is open; without one it plays a fixed
 * script of acts, first with one unit and then with two.
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
  return judged(name, describeSeen(seen), seen.troubles);
}

function judged(name: string, text: string, troubles: readonly string[]): boolean {
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
  const say = (line: string): void => {
    console.log(line);
  };
  if (terminal) {
    const status = await runLive(say);
    say('The lab is over; all that it made is removed.');
    return status;
  }
  const lab = await Lab.open(exampleText(), say);
  try {
    if (!(await script(lab))) return verdict(false);
  } finally {
    await lab.close();
  }
  console.log('two units in a network of their own, with a cable between them');
  return verdict(
    await playPair((name, notes, troubles) => judged(name, notes.join('\n       '), troubles)),
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
