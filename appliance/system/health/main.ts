/**
 * The process that feeds the hardware watchdog, and that says on the console when the box is ready.
 * It is a process of its own: a daemon that is stuck must not feed the watchdog that is to notice.
 *
 * Without a watchdog it only looks and says. systemd hears READY once the first answer is there, or
 * after `FIRST_MS` without one, so that the dashboard comes up on a box that is not well, too.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { release } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from '../../cli/client.js';
import { DEFAULT_SOCKET, type Status, type TierRow } from '../../api/contract.js';
import { setWatchdogTimeout } from '../../../native/ffi/watchdog.js';
import { notify } from '../notify.js';
import { ANSWER_MS, lookAt, type Well } from './well.js';

const DEVICE = '/dev/watchdog0';
/** How long the box may be unwell until the watchdog resets it. */
const PATIENCE_S = 180;
const EACH_MS = 5000;
/** Looked at more often until the box is ready, from the moment on that there is somebody to ask. */
const EAGER_MS = 500;
const FIRST_MS = 60_000;

function openWatchdog(): number | null {
  try {
    return openSync(DEVICE, 'w');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** The initial RAM disk left a start more time. */
function takeOver(): number | null {
  const watchdog = openWatchdog();
  if (watchdog === null) console.log('there is no watchdog');
  else {
    try {
      setWatchdogTimeout(watchdog, PATIENCE_S);
    } catch (error) {
      console.log(`the watchdog keeps its own time: ${String(error)}`);
    }
  }
  return watchdog;
}

function onConsole(line: string): void {
  console.log(line);
  try {
    writeFileSync('/dev/console', `\r\nweir: ${line}\r\n`);
  } catch (error) {
    console.error(`the console cannot be written to: ${String(error)}`);
  }
}

/** Resolves once `path` is there, or after `ms`: asking in vain costs a box that starts its time. */
function appeared(path: string, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(dirname(path), { signal });
    const done = (): void => {
      clearTimeout(timer);
      watcher.close();
      resolve();
    };
    const timer = setTimeout(done, ms);
    const look = (): void => {
      if (existsSync(path)) done();
    };
    watcher.on('change', look);
    watcher.once('error', done);
    watcher.once('close', done);
    look();
  });
}

const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

async function main(): Promise<void> {
  const client = new Client(DEFAULT_SOCKET, ANSWER_MS);
  const look = (): Promise<Well> =>
    lookAt({
      status: () => client.json<Status>({ path: '/v1/status' }),
      attached: async () => {
        const tiers = await client.json<readonly TierRow[]>({ path: '/v1/tiers' });
        return tiers.filter(({ mode }) => mode !== null).length;
      },
    });
  const stop = new AbortController();
  process.once('SIGTERM', () => {
    stop.abort();
  });
  const sleep = (ms: number): Promise<void> =>
    wait(ms, undefined, { signal: stop.signal }).catch(() => undefined);

  const watchdog = takeOver();
  const begun = performance.now();
  let seen = await look();
  while (!seen.well && performance.now() - begun < FIRST_MS && !stop.signal.aborted) {
    if (existsSync(DEFAULT_SOCKET)) await sleep(EAGER_MS);
    else await appeared(DEFAULT_SOCKET, FIRST_MS, stop.signal);
    seen = await look();
  }
  const sayReady = (): void => {
    onConsole(
      `ready ${uptime().toFixed(1)} seconds after the kernel (Linux ${release()}), ${seen.why}`,
    );
  };
  let ready = seen.well;
  if (ready) sayReady();
  else onConsole(`not well: ${seen.why}`);
  notify('READY=1', `STATUS=${seen.why}`);

  let before = seen.why;
  while (!stop.signal.aborted) {
    if (seen.well && !ready) {
      ready = true;
      sayReady();
    } else if (seen.why !== before) console.log(seen.well ? seen.why : `not well: ${seen.why}`);
    before = seen.why;
    if (seen.well && watchdog !== null) writeSync(watchdog, '1');
    await sleep(EACH_MS);
    seen = await look();
  }
  if (watchdog !== null) closeSync(watchdog);
}

void main();
