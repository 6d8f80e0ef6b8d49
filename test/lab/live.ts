/**
 * The lab on a terminal: what the unit and the client see, once a second, and keys that
 * make things happen. Plain lines, redrawn in place; works from 80×24 up.
 *
 * Invariant: the terminal is given back as it was, however this ends.
 */
import type { EventRow, MemberRow, ServiceRow, Status } from '../../appliance/api/contract.js';
import type { LoadReport } from './clients.js';
import { addressesOf, type Lab } from './lab.js';
import { Stage, type Act } from './stage.js';
import { memberNames, type MemberName } from './topology.js';

const liveLoad = { rate: 50, concurrency: 32, long: 20, heartbeat: 100 };
const lineBudget = 24;
/** An act that only looks: each second's window is one. */
const nothing: Act = { name: 'live', play: () => Promise.resolve({}) };

/** What the unit says of itself, or null while its daemon is away. */
interface UnitView {
  readonly status: Status;
  readonly services: readonly ServiceRow[];
  readonly members: readonly MemberRow[];
  readonly events: readonly EventRow[];
}

const help = [
  '1 2 3  kill or revive the servers of that member',
  'd      drain member 2, or enable it again',
  'w      turn the weights around, by `weir set member … --weight`',
  'a      apply a changed configuration (all weights alike)',
  'r      roll back to the revision before the current one',
  'k      kill -9 the daemon and start it again two seconds later',
  'q      end the lab and remove all that it made',
  '?      this help, on and off',
];

async function look(lab: Lab): Promise<UnitView | null> {
  if (!lab.unit.running) return null;
  try {
    const [status, services, members, events] = await Promise.all([
      lab.unit.status(),
      lab.unit.get<ServiceRow[]>('/v1/services'),
      lab.unit.members(),
      lab.unit.get<EventRow[]>('/v1/events?limit=1000'),
    ]);
    return { status, services, members, events };
  } catch {
    return null; // it was killed while it was asked; the view says that it is away
  }
}

function clock(time: number): string {
  return new Date(time).toTimeString().slice(0, 8);
}

function serviceLine(row: ServiceRow, report: LoadReport | undefined): string {
  const listen = `${row.address.includes(':') ? `[${row.address}]` : row.address}:${row.port}`;
  const seen =
    report === undefined
      ? ''
      : `${(report.requests / report.seconds).toFixed(0).padStart(6)} ${String(report.failed).padStart(6)} ${report.longestGap.toFixed(0).padStart(5)}`;
  return [
    row.name.padEnd(9),
    `${row.protocol} ${listen}`.padEnd(20),
    (row.forwarding ?? '').padEnd(4),
    row.tier.padEnd(5),
    row.state.padEnd(9),
    row.rates.packetsPerSecond.toFixed(0).padStart(6),
    seen,
  ].join(' ');
}

function memberLine(lab: Lab, name: MemberName, rows: readonly MemberRow[]): string {
  const its = rows.filter((row) => addressesOf(name).includes(row.address));
  const states = [...new Set(its.map((row) => row.state))].join('/');
  const weights = [...new Set(its.map((row) => row.weight))].join('/');
  const packets = its.reduce((sum, row) => sum + row.rates.packetsPerSecond, 0);
  const trouble = its.find((row) => row.state !== 'UP');
  return [
    name.padEnd(9),
    (lab.members.isRunning(name) ? 'servers run' : 'servers dead').padEnd(13),
    states.padEnd(10),
    `weight ${weights}`.padEnd(12),
    `${packets.toFixed(0)} packets/s`.padEnd(16),
    trouble?.reason ?? '',
  ].join(' ');
}

/** The whole screen as lines. Pure: what is drawn depends on nothing else. */
export function screen(
  lab: Lab,
  view: UnitView | null,
  reports: ReadonlyMap<string, LoadReport>,
  state: { readonly said: string; readonly showHelp: boolean; readonly rows: number },
): string[] {
  const lines: string[] = [];
  if (view === null) {
    lines.push('Weir lab   daemon: away; the fast path goes on without it', '');
    lines.push('client    requests/s  failed  gap ms');
    for (const [name, report] of reports) {
      lines.push(
        `${name.padEnd(9)} ${(report.requests / report.seconds).toFixed(0).padStart(10)} ${String(report.failed).padStart(7)} ${report.longestGap.toFixed(0).padStart(7)}`,
      );
    }
  } else {
    const { status } = view;
    const waits =
      status.pendingConfirm === null
        ? ''
        : `   confirm within ${status.pendingConfirm.secondsLeft} s`;
    lines.push(
      `Weir lab   unit ${status.unit}   revision ${status.revision ?? 'none'}   members ${status.membersServing}/${status.membersTotal}${waits}`,
      '',
      'SERVICE   LISTEN               FWD  TIER  STATE     PKTS/S  REQ/S FAILED   GAP',
      ...view.services.map((row) => serviceLine(row, reports.get(row.name))),
      '',
      ...memberNames.map((name) => memberLine(lab, name, view.members)),
      '',
    );
    if (!state.showHelp) {
      const room = Math.max(1, state.rows - lines.length - 3);
      // Each new connection makes an event; here only what is out of the ordinary.
      const rare = view.events.filter((event) => event.kind !== 'flow-new').slice(-room);
      lines.push(...rare.map((event) => `${clock(event.time)} ${event.message}`));
    }
  }
  if (state.showHelp) lines.push(...help);
  const body = lines.slice(0, state.rows - 2);
  while (body.length < state.rows - 2) body.push('');
  return [
    ...body,
    state.said,
    '1 2 3 kill/revive  d drain  w weights  a apply  r roll back  k kill  q quit  ?',
  ];
}

export async function runLive(lab: Lab): Promise<void> {
  const stage = await Stage.open(lab, () => liveLoad);
  let showHelp = false;
  let said = 'The client is at work. Press a key.';
  let busy = false;
  let turned = false;
  let drains = false;

  const doing = async (what: string, act: () => Promise<string>): Promise<void> => {
    if (busy) return;
    busy = true;
    said = `${what} …`;
    try {
      said = await act();
    } catch (error) {
      said = (error as Error).message.split('\n')[0] ?? 'failed';
    } finally {
      busy = false;
    }
  };

  const toggleServers = (name: MemberName): Promise<void> =>
    doing(name, async () => {
      if (lab.members.isRunning(name)) {
        await lab.members.kill(name);
        return `${name}: servers killed`;
      }
      await lab.members.revive(name);
      return `${name}: servers run again`;
    });

  const actions: Readonly<Record<string, () => Promise<void>>> = {
    '1': () => toggleServers('member-1'),
    '2': () => toggleServers('member-2'),
    '3': () => toggleServers('member-3'),
    d: () =>
      doing('weir set member', async () => {
        drains = !drains;
        await lab.setMember('member-2', drains ? 'draining' : 'enabled');
        return `weir set member … ${drains ? 'draining' : 'enabled'} (member-2 in every pool)`;
      }),
    w: () =>
      doing('weir set member --weight', async () => {
        turned = !turned;
        await lab.setMember('member-1', '--weight', turned ? '1' : '3');
        await lab.setMember('member-3', '--weight', turned ? '3' : '1');
        return `weights are ${turned ? '1:2:3' : '3:2:1'} now`;
      }),
    a: () =>
      doing('weir apply', async () => {
        await lab.change((document) => {
          for (const pool of Object.values(document.pools ?? {})) {
            for (const member of pool.members) member.weight = 1;
          }
        });
        return `weir apply changed.yaml: revision ${await lab.unit.revision()}, all weights alike`;
      }),
    r: () =>
      doing('weir rollback', async () => {
        const before = (await lab.unit.revision()) - 1;
        if (before < 1) return 'there is no earlier revision';
        await lab.unit.must('rollback', String(before));
        return `weir rollback ${before}: revision ${await lab.unit.revision()}`;
      }),
    k: () =>
      doing('kill -9 of the daemon', async () => {
        await lab.unit.end('SIGKILL');
        said = 'the daemon is dead; traffic flows on';
        await new Promise((resolve) => setTimeout(resolve, 2000));
        const took = await lab.unit.start();
        return `the daemon is back; it answered after ${took.toFixed(0)} ms`;
      }),
  };

  const { stdin, stdout } = process;
  const restore = (): void => {
    stdin.setRawMode(false);
    stdout.write('\x1b[?25h\x1b[?1049l');
  };
  process.once('exit', restore);
  stdin.setRawMode(true);
  stdin.resume();
  stdout.write('\x1b[?1049h\x1b[?25l');
  try {
    await new Promise<void>((quit, fail) => {
      let reports: ReadonlyMap<string, LoadReport> = new Map<string, LoadReport>();
      const draw = async (): Promise<void> => {
        reports = (await stage.play(nothing)).reports;
        const view = await look(lab);
        const rows = stdout.rows || lineBudget;
        const columns = stdout.columns || 80;
        const lines = screen(lab, view, reports, { said, showHelp, rows });
        stdout.write(
          `\x1b[H${lines.map((text) => `${text.slice(0, columns - 1)}\x1b[K`).join('\r\n')}\x1b[J`,
        );
        timer = setTimeout(() => void draw().catch(fail), 1000);
      };
      let timer = setTimeout(() => void draw().catch(fail), 0);
      stdin.on('data', (bytes: Buffer) => {
        const key = bytes.toString('utf8');
        if (key === 'q' || key === '\x03') {
          clearTimeout(timer);
          quit();
        } else if (key === '?') {
          showHelp = !showHelp;
        } else {
          void actions[key]?.();
        }
      });
    });
  } finally {
    process.removeListener('exit', restore);
    restore();
    stdin.pause();
    await stage.close();
    console.log('The lab is over; all that it made is removed.');
  }
}
