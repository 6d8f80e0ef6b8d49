/**
 * The lab on a terminal: what unit and client see, redrawn once a second, and keys that
 * make things happen (screen.ts draws; `weir` does what the keys ask for).
 *
 * Invariant: the terminal is given back as it was, however this ends.
 */
import {
  EVENT_KINDS,
  FLOW_EVENT_KINDS,
  type EventRow,
  type MemberRow,
  type ServiceRow,
} from '../../appliance/api/contract.js';
import type { LoadReport } from './clients.js';
import type { Lab } from './lab.js';
import { screen, smallest, type ClientView, type UnitView } from './screen.js';
import { Stage, share, type Reports } from './stage.js';
import { memberNames, type MemberName } from './topology.js';
import { pause } from './unit.js';

const liveLoad = { rate: 50, concurrency: 32, long: 20, heartbeat: 100 };
/** How many events and seconds of the client's reports are remembered. */
const remembered = { events: 200, seconds: 10 };
const flowKinds: readonly string[] = FLOW_EVENT_KINDS;
const shownKinds = EVENT_KINDS.filter((kind) => !flowKinds.includes(kind));

const enterScreen = '\x1b[?1049h\x1b[?25l';
const leaveScreen = '\x1b[?25h\x1b[?1049l';

/** What the client saw, second by second. */
class ClientMemory {
  private readonly seconds: Reports[] = [];
  private readonly failed = new Map<string, number>();

  add(reports: Reports): void {
    this.seconds.push(reports);
    if (this.seconds.length > remembered.seconds) this.seconds.shift();
    for (const [name, report] of reports) {
      this.failed.set(name, (this.failed.get(name) ?? 0) + report.failed);
    }
  }

  views(): Map<string, ClientView> {
    const last = this.seconds.at(-1) ?? new Map<string, LoadReport>();
    return new Map(
      [...last].map(([name, { requests, seconds }]) => [
        name,
        {
          requestsPerSecond: requests / seconds,
          failed: this.failed.get(name) ?? 0,
          longestGap: Math.max(
            ...this.seconds.map((reports) => reports.get(name)?.longestGap ?? 0),
          ),
        },
      ]),
    );
  }

  shares(): Map<MemberName, number> {
    const all = new Map(
      this.seconds.flatMap((reports, second) =>
        [...reports].map(([name, report]) => [`${name} ${second}`, report] as const),
      ),
    );
    return new Map(memberNames.map((member) => [member, share(all, member)]));
  }
}

/** What the keys do. Each says what came of it; one at a time. */
class Actions {
  said = 'The client is at work. Press a key.';
  private busy = false;
  /** The revisions before each change made here that was not undone. */
  private readonly undo: number[] = [];

  constructor(
    private readonly lab: Lab,
    private readonly changed: () => void,
  ) {}

  private say(text: string): void {
    this.said = text.split('\n')[0] ?? '';
    this.changed();
  }

  /** Does nothing for a key that has no meaning. */
  async press(key: string): Promise<void> {
    const action = this.actionOf(key);
    if (action === null) return;
    if (this.busy) {
      this.say(`one at a time: still at "${this.said.replace(/^one at a time: still at /, '')}"`);
      return;
    }
    this.busy = true;
    try {
      this.say(await action());
    } catch (error) {
      this.say((error as Error).message);
    } finally {
      this.busy = false;
    }
  }

  private actionOf(key: string): (() => Promise<string>) | null {
    const member = memberNames.find((name) => name === `member-${key}`);
    if (member !== undefined) return () => this.toggleServers(member);
    switch (key) {
      case 'd':
        return () => this.undoable(() => this.drain());
      case 'w':
        return () => this.undoable(() => this.weigh());
      case 'a':
        return () => this.undoable(() => this.apply());
      case 'r':
        return () => this.rollBack();
      case 'k':
        return () => this.killDaemon();
      default:
        return null;
    }
  }

  private async toggleServers(name: MemberName): Promise<string> {
    if (this.lab.members.isRunning(name)) {
      await this.lab.members.kill(name);
      return `${name}: its servers are killed`;
    }
    this.say(`${name}: starting its servers …`);
    await this.lab.members.revive(name);
    return `${name}: its servers run again`;
  }

  private async undoable(change: () => Promise<string>): Promise<string> {
    const before = await this.lab.unit.revision();
    try {
      return await change();
    } finally {
      if ((await this.lab.unit.revision()) !== before) this.undo.push(before);
    }
  }

  /** `weir set member` for a member in every pool, shown as it is typed. */
  private async set(rows: readonly MemberRow[], ...setting: string[]): Promise<void> {
    for (const row of rows) {
      const command = ['set', 'member', row.pool, row.member, ...setting];
      this.say(`weir ${command.join(' ')}`);
      await this.lab.unit.must(...command);
    }
  }

  private async drain(): Promise<string> {
    const rows = await this.lab.rowsOf('member-2');
    const drained = rows.filter((row) => row.state === 'DRAINING');
    if (drained.length > 0) {
      await this.set(drained, 'enabled');
      return 'member-2 is enabled again';
    }
    await this.set(rows, 'draining');
    return 'member-2 drains: it keeps its connections and takes no new ones';
  }

  private async weigh(): Promise<string> {
    const first = await this.lab.rowsOf('member-1');
    const third = await this.lab.rowsOf('member-3');
    const turned = first.every((row) => row.weight === 1) && third.every((row) => row.weight === 3);
    await this.set(first, '--weight', turned ? '3' : '1');
    await this.set(third, '--weight', turned ? '1' : '3');
    return `weights of member-1 and member-3 are ${turned ? '3 and 1' : '1 and 3'} now`;
  }

  private async apply(): Promise<string> {
    this.say('weir apply changed.yaml …');
    const before = await this.lab.unit.revision();
    await this.lab.change(
      (document) => {
        for (const pool of Object.values(document.pools ?? {})) {
          for (const member of pool.members) member.weight = 1;
        }
      },
      ...['--comment', 'all weights alike'],
    );
    const revision = await this.lab.unit.revision();
    if (revision === before) return 'weir apply changed.yaml: nothing to change';
    return `weir apply changed.yaml: revision ${revision}, all weights alike`;
  }

  private async rollBack(): Promise<string> {
    const to = this.undo.at(-1);
    if (to === undefined) return 'nothing to undo: d, w and a make changes';
    this.say(`weir rollback ${to} …`);
    await this.lab.unit.must('rollback', String(to));
    this.undo.pop();
    return `weir rollback ${to}: its document is back, as revision ${await this.lab.unit.revision()}`;
  }

  private async killDaemon(): Promise<string> {
    await this.lab.unit.end('SIGKILL');
    this.say('the daemon is dead; traffic flows on');
    await pause(2000);
    const took = await this.lab.unit.start();
    return `the daemon is back: it answered ${took.toFixed(0)} ms after its start`;
  }
}

class Live {
  private readonly memory = new ClientMemory();
  private readonly actions: Actions;
  private readonly events: EventRow[] = [];
  private readonly ending = new AbortController();
  /** Which run of the daemon the last event is of, and its number in it. */
  private heard = { startedAt: 0, sequence: 0 };
  private unit: UnitView | null = null;
  private away: string | null = null;
  private showHelp = false;

  constructor(
    private readonly lab: Lab,
    private readonly stage: Stage,
  ) {
    this.actions = new Actions(lab, () => this.draw());
  }

  /** Runs until somebody quits; rejects when the lab breaks. */
  async run(): Promise<void> {
    const { stdin, stdout } = process;
    const { signal } = this.ending;
    const onKey = (bytes: Buffer): void => {
      const text = bytes.toString('utf8');
      // Keys that were typed fast come together; an arrow or function key is none of ours.
      if (!text.startsWith('\x1b')) for (const key of text) this.key(key);
    };
    const onResize = (): void => this.draw();
    stdin.on('data', onKey);
    stdout.on('resize', onResize);
    try {
      await Promise.all([
        this.repeat(async () => this.memory.add(await this.stage.peek()), signal),
        this.repeat(() => this.look(), signal),
      ]);
    } finally {
      this.ending.abort();
      stdin.off('data', onKey);
      stdout.off('resize', onResize);
    }
  }

  /** Once a second, until the end. */
  private async repeat(task: () => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const begun = performance.now();
      await task();
      this.draw();
      const rest = 1000 - (performance.now() - begun);
      if (rest > 0 && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const end = (): void => {
            clearTimeout(timer);
            signal.removeEventListener('abort', end);
            resolve();
          };
          const timer = setTimeout(end, rest);
          signal.addEventListener('abort', end);
        });
      }
    }
  }

  private async look(): Promise<void> {
    const { unit } = this.lab;
    try {
      const [status, services, members, events] = await Promise.all([
        unit.status(),
        unit.get<ServiceRow[]>('/v1/services'),
        unit.members(),
        unit.get<EventRow[]>(`/v1/events?limit=${remembered.events}&kind=${shownKinds.join()}`),
      ]);
      this.hear(status.startedAt, events);
      this.unit = { status, services, members };
      this.away = null;
    } catch (error) {
      this.away = unit.running
        ? `the daemon does not answer: ${(error as Error).message}`
        : 'the daemon is away; the fast path goes on without it';
    }
  }

  /** Keeps what is new: the events of earlier runs are only here. */
  private hear(startedAt: number, events: readonly EventRow[]): void {
    if (startedAt !== this.heard.startedAt) this.heard = { startedAt, sequence: 0 };
    for (const event of events) {
      if (event.sequence <= this.heard.sequence) continue;
      this.heard.sequence = event.sequence;
      this.events.push(event);
    }
    this.events.splice(0, this.events.length - remembered.events);
  }

  private key(key: string): void {
    if (key === 'q' || key === '\x03') {
      this.actions.said = 'ending …';
      this.draw();
      this.ending.abort();
    } else if (key === '?') this.showHelp = !this.showHelp;
    else void this.actions.press(key);
    this.draw();
  }

  private draw(): void {
    if (this.ending.signal.aborted) return;
    const { stdout } = process;
    // A serial console reports 0 columns and rows.
    const size = {
      columns: stdout.columns || smallest.columns,
      rows: stdout.rows || smallest.rows,
    };
    const lines = screen(
      {
        ...{ unit: this.unit, away: this.away, events: this.events },
        ...{ clients: this.memory.views(), shares: this.memory.shares() },
        running: new Set(memberNames.filter((name) => this.lab.members.isRunning(name))),
        ...{ said: this.actions.said, showHelp: this.showHelp },
      },
      size,
    );
    stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
  }
}

export async function runLive(lab: Lab): Promise<void> {
  console.log('clients: starting …');
  const stage = await Stage.open(lab, () => liveLoad);
  const { stdin, stdout } = process;
  const restore = (): void => {
    stdin.setRawMode(false);
    stdout.write(leaveScreen);
  };
  process.once('exit', restore);
  stdin.setRawMode(true);
  stdin.resume();
  stdout.write(enterScreen);
  try {
    await new Live(lab, stage).run();
  } finally {
    process.removeListener('exit', restore);
    restore();
    stdin.pause();
  }
}
