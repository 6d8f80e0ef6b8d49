/** A speaker's process, whether this process started it or an earlier parent did. */
import { spawn } from 'node:child_process';
import { close } from '../../../../native/ffi/libc.js';
import { signalProcess } from '../../../../native/ffi/pidfd.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { compiled } from '../../../paths.js';
import { REALTIME_NODE_OPTIONS } from './wishes.js';

export interface ProcessHandle {
  readonly pid: number;
  /** Called once, when it has ended. `how`: a sentence's end for people. */
  onGone(listener: (how: string) => void): void;
  kill(): void;
  /** It is nobody's business here any more. */
  leave(): void;
}

const entry = compiled('appliance/ha/vrrp/speaker/main.js');
/** Longest line that is passed on. */
const LINE = 4096;
const SIGKILL = 9;

/** Starts one, with `channel` as its end of the channel. Throws what spawn throws. */
export function startedProcess(
  channel: number,
  options: { readonly stateFile?: string; readonly onOutput: (line: string) => void },
): ProcessHandle {
  const words = options.stateFile === undefined ? [] : [options.stateFile];
  const child = spawn(process.execPath, [...REALTIME_NODE_OPTIONS, entry, ...words], {
    stdio: ['ignore', 'pipe', 'pipe', channel],
    // A terminal's signals to the group are for the parent, which ends it in order.
    detached: true,
  });
  const { pid } = child;
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  for (const stream of streams) {
    stream.setEncoding('utf8');
    // A pipe that breaks has nothing more to tell; the end of the process is told by itself.
    stream.on('error', () => undefined);
    stream.on('data', (text: string) => {
      for (const line of text.split('\n')) {
        if (line !== '') options.onOutput(line.slice(0, LINE));
      }
    });
  }
  return {
    pid: pid ?? 0,
    onGone: (listener) => {
      child.on('error', (error) => {
        // Also of a signal that could not be sent; then it lives.
        if (pid === undefined) listener(`cannot be started: ${error.message}`);
      });
      child.once('exit', (code, signal) => {
        listener(signal === null ? `ended with status ${code ?? 0}` : `was ended by ${signal}`);
      });
    },
    kill: () => {
      child.kill('SIGKILL');
    },
    leave: () => {
      child.unref();
      for (const stream of streams) stream.destroy();
    },
  };
}

/** One that runs already. `pidfd` belongs to the handle from now on. */
export function leftProcess(pid: number, pidfd: number, poller: Poller): ProcessHandle {
  let open = true;
  const forget = (): void => {
    if (!open) return;
    open = false;
    poller.remove(pidfd);
    close(pidfd);
  };
  return {
    pid,
    onGone: (listener) => {
      poller.add(pidfd, () => {
        forget();
        listener('has ended');
      });
    },
    kill: () => {
      if (open) signalProcess(pidfd, SIGKILL);
    },
    leave: forget,
  };
}
