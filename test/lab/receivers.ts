/** The lab's side of clients that only receive (receiver-process.ts). */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { last, start } from './commands.js';
import type { ReceiverReport, ReceiverSettings } from './receiver-process.js';
import { said } from './servers.js';
import type { Topology } from './topology.js';

export type { ReceiverReport };

const program = fileURLToPath(new URL('./receiver-process.js', import.meta.url));

export class Receivers {
  private constructor(
    private readonly child: ChildProcess,
    private readonly lines: Interface,
  ) {}

  static async start(topology: Topology, settings: ReceiverSettings): Promise<Receivers> {
    const words = [...last, process.execPath, program, JSON.stringify(settings)];
    const child = start(topology.namespace('client'), words);
    await said(child, 'ready');
    if (child.stdout === null) throw new Error('a program without output');
    return new Receivers(child, createInterface({ input: child.stdout }));
  }

  /** What came since the last mark. */
  async mark(): Promise<ReceiverReport> {
    const ended = new AbortController();
    const gone = (): void => ended.abort(new Error('the receiving clients ended'));
    this.child.once('close', gone);
    try {
      this.child.stdin?.write('mark\n');
      const [line] = (await once(this.lines, 'line', { signal: ended.signal })) as [string];
      return JSON.parse(line) as ReceiverReport;
    } finally {
      this.child.removeListener('close', gone);
    }
  }
}
