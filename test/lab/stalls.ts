/** How long the CPUs of this machine stood still (stalls-process.ts). */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { REALTIME_NODE_OPTIONS } from '../../appliance/ha/vrrp/speaker/wishes.js';
import { allowedCpus } from '../../native/ffi/affinity.js';
import type { Stalls } from './stalls-process.js';

export type { Stalls };

export class StallWatch {
  private constructor(private readonly meters: readonly ChildProcess[]) {}

  static async start(): Promise<StallWatch> {
    const script = fileURLToPath(new URL('./stalls-process.js', import.meta.url));
    const meters: ChildProcess[] = [];
    for (const cpu of allowedCpus()) {
      const child = fork(script, [String(cpu)], { execArgv: [...REALTIME_NODE_OPTIONS] });
      meters.push(child);
      await once(child, 'message');
    }
    return new StallWatch(meters);
  }

  /** Of each CPU, since the last time that this was asked. */
  async ask(): Promise<readonly Stalls[]> {
    return Promise.all(
      this.meters.map(async (one) => {
        const answer = once(one, 'message') as Promise<[Stalls]>;
        one.send('how long');
        return (await answer)[0];
      }),
    );
  }

  end(): void {
    for (const one of this.meters) one.disconnect();
  }
}
