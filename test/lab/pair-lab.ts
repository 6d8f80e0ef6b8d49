/**
 * A lab of two units: client, unit-a, unit-b and members on the bridges of topology.ts, and a cable
 * between the units (10.79.0.0/24, fd79::/64; eth2 of each), with a daemon in each unit. What fails is
 * made here: daemons and whole units that are ended or stopped, wires that are cut and mended.
 *
 *     await PairLab.run({}, async (lab) => {
 *       await lab.pair();                          // invite and join, over LAN and cable
 *       await lab.cut('cable');                    // unit-b's plug is pulled: no carrier
 *       await lab.cut('inside', { silent: true }); // the switch drops everything: nobody sees that
 *       await lab.mend('cable');
 *       await lab.a.end('SIGKILL');                // the daemon; its workers serve on
 *       await lab.a.start();
 *       lab.killAll('unit-a');                     // every process of the unit
 *     });
 *
 * Everything else is asked of `lab.a` and `lab.b` (unit.ts), as a user would.
 *
 * Invariant: `run` leaves nothing behind, however `work` ends.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PairInvited, PairView } from '../../appliance/api/contract.js';
import { children, CommandError, ended, run, within } from './commands.js';
import { Members } from './servers.js';
import { SlowDisk } from './slow-disk.js';
import { addressOf, labPaths, Topology, type Segment, type UnitName } from './topology.js';
import { Unit, until } from './unit.js';

/** What joins a unit to the others. */
export type Wire = Segment | 'cable';
const wires: readonly Wire[] = ['inside', 'outside', 'cable'];
const lanWires = ['inside', 'outside'] as const;
const pairNames = ['unit-a', 'unit-b'] as const;

/** The address of a unit on the cable; on the LAN, it is that of topology.ts. */
export function cableAddress(unit: UnitName, family: 4 | 6): string {
  return `${family === 4 ? '10.79.0.' : 'fd79::'}${unit === 'unit-a' ? 3 : 4}`;
}

export interface PairLabOptions {
  /** More of each unit's document; `unit.name` is the unit's own, as topology.ts has it. */
  readonly document?: (unit: UnitName) => object;
  /** Units as they come: nothing is applied. */
  readonly bare?: boolean;
  /** Whether members' servers are started (servers.ts). */
  readonly members?: boolean;
  /** Each unit's state is on a disk of its own, which can be made slow; else why it is not. */
  readonly disks?: (why: string) => void;
  /** As in topology.ts. */
  readonly directAddresses?: readonly string[];
  readonly tunnels?: boolean;
  readonly gateway?: number;
}

export class PairLab {
  /** None where they were not asked for, or cannot be had. */
  readonly disks = new Map<UnitName, SlowDisk>();

  private constructor(
    readonly topology: Topology,
    readonly a: Unit,
    readonly b: Unit,
    /** Null when none were asked for. */
    readonly members: Members | null,
  ) {}

  static async run(options: PairLabOptions, work: (lab: PairLab) => Promise<void>): Promise<void> {
    const lab = await PairLab.open(options);
    try {
      await work(lab);
    } finally {
      await lab.close();
    }
  }

  /** Both daemons answer, each has its document, unless they are bare. The units are not paired yet. */
  static async open(options: PairLabOptions = {}): Promise<PairLab> {
    const {
      directAddresses = [],
      document,
      members = false,
      bare = false,
      disks,
      ...rest
    } = options;
    const topology = await Topology.create({ ...rest, directAddresses, units: pairNames });
    try {
      await layCable(topology);
      await run('ip', ['-n', topology.namespace('switch'), '-batch', '-'], {
        input: pairNames
          .flatMap((unit) => lanWires.map((wire) => `${unflooded(unit, wire).join(' ')}\n`))
          .join(''),
      });
      mkdirSync(labPaths(process.pid).files, { recursive: true });
      const lab = new PairLab(
        topology,
        new Unit(topology, 'unit-a'),
        new Unit(topology, 'unit-b'),
        members ? await Members.start(topology, directAddresses) : null,
      );
      if (disks !== undefined) lab.#mount(disks);
      await Promise.all([lab.a.start(), lab.b.start()]);
      if (!bare)
        await Promise.all(pairNames.map((name) => lab.apply(name, document?.(name) ?? {})));
      return lab;
    } catch (error) {
      topology.destroy();
      throw error;
    }
  }

  #mount(trouble: (why: string) => void): void {
    for (const { name, files } of [this.a, this.b]) {
      const disk = SlowDisk.mount(join(files, 'state'), trouble);
      if (disk !== null) this.disks.set(name, disk);
    }
  }

  unit(name: UnitName): Unit {
    return name === 'unit-a' ? this.a : this.b;
  }

  /** Applies a document (without `version`; the fast path is on eth0 and eth1 unless it says else). */
  async apply(name: UnitName, document: { readonly unit?: object }): Promise<void> {
    const unit = { name, interfaces: ['eth0', 'eth1'], workers: 1, ...document.unit };
    const whole = { version: 1, pools: {}, services: {}, ...document, unit };
    await this.unit(name).must('apply', this.file(`${name}.yaml`, JSON.stringify(whole)));
  }

  /** Invites at unit-a and joins unit-b, over LAN and cable, as a user does; waits for both links. */
  async pair(): Promise<void> {
    const invited = await this.a.must('pair', 'invite', ...linkAddresses, '--json');
    const { code } = JSON.parse(invited) as PairInvited;
    await this.b.must('pair', 'join', code, linkAddresses[0] ?? '');
    await this.untilLinks(linkAddresses.length);
  }

  /** Waits until both units say that so many links are up. */
  async untilLinks(count: number): Promise<void> {
    for (const unit of [this.a, this.b]) {
      await until(`${count} links up at ${unit.name}`, 30_000, async () => {
        const { links, problem } = await unit.get<PairView>('/v1/pair');
        const up = links.filter((link) => link.up).length;
        return up === count || `${up} up, ${problem ?? ''}${JSON.stringify(links)}`;
      });
    }
  }

  /** Waits until members answer the client at each address (port 80), by a connection of its own. */
  async untilServed(addresses: readonly string[], patience: number): Promise<void> {
    const client = this.topology.namespace('client');
    for (const address of addresses) {
      await until(`the client is served at ${address}`, patience, async () => {
        const words = ['curl', '-sS', '--max-time', '2', `http://${address}/`];
        try {
          await run('nsenter', within(client, words).slice(1));
          return true;
        } catch (error) {
          if (error instanceof CommandError) return error.message;
          throw error;
        }
      });
    }
  }

  /** Writes a file of the lab's and returns its path. */
  file(name: string, text: string): string {
    const path = join(labPaths(process.pid).files, name);
    writeFileSync(path, text);
    return path;
  }

  /**
   * Cuts a wire of a unit at its switch: as pulling the plug would, so that the unit loses its carrier,
   * or `silent`: frames are lost and nothing shows it.
   */
  async cut(wire: Wire, { unit = 'unit-b', silent = false }: CutOptions = {}): Promise<void> {
    await this.port(unit, wire, silent ? 'nomaster' : 'down');
  }

  /** Undoes every cut of that wire. */
  async mend(wire: Wire, { unit = 'unit-b' }: { readonly unit?: UnitName } = {}): Promise<void> {
    await this.port(unit, wire, 'master', wire, 'up');
    if (wire === 'cable') return;
    await run('ip', ['-n', this.topology.namespace('switch'), ...unflooded(unit, wire)]);
  }

  /** The processes of a unit: its daemon, workers, and whatever else runs in its namespace. */
  processes(unit: UnitName): number[] {
    const words = ['netns', 'pids', this.topology.namespace(unit)];
    const { stdout } = spawnSync('ip', words, { encoding: 'utf8' });
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number);
  }

  /** A signal to every process of a unit, at once; SIGSTOP and SIGCONT freeze and thaw it. */
  signalAll(unit: UnitName, signal: NodeJS.Signals): void {
    for (const pid of this.processes(unit)) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  /** The end of every process of a unit; what it has in the kernel stays. */
  killAll(unit: UnitName): void {
    this.signalAll(unit, 'SIGKILL');
  }

  /**
   * As if its power failed: nothing that it sends arrives any more, so it has no last word, and its
   * processes are gone. It does not come back.
   */
  async powerOff(unit: UnitName): Promise<void> {
    await run('ip', ['-n', this.topology.namespace('switch'), '-batch', '-'], {
      input: wires.map((wire) => `link set ${portName(unit, wire)} nomaster\n`).join(''),
    });
    this.killAll(unit);
  }

  /** Ends daemons, programs and namespaces; may be called at any time. */
  async close(): Promise<void> {
    try {
      // One that stands still would not end.
      for (const name of pairNames) this.signalAll(name, 'SIGCONT');
      await Promise.all([this.a.end('SIGTERM'), this.b.end('SIGTERM')]);
    } finally {
      const rest = [...children];
      this.topology.destroy();
      await Promise.all(rest.map(ended));
    }
  }

  private async port(unit: UnitName, wire: Wire, ...words: string[]): Promise<void> {
    const namespace = this.topology.namespace('switch');
    await run('ip', ['-n', namespace, 'link', 'set', portName(unit, wire), ...words]);
  }
}

interface CutOptions {
  readonly unit?: UnitName;
  readonly silent?: boolean;
}

/** The name of the switch's end of a wire. */
function portName(unit: UnitName, wire: Wire): string {
  return `${unit}-${{ inside: 'in', outside: 'out', cable: 'cable' }[wire]}`;
}

/**
 * Frames for a unit that is gone are not flooded to the other one: a NIC would drop them by their MAC
 * address, and a veth pair does not, so XDP would serve clients that have not heard of the failover.
 */
function unflooded(unit: UnitName, wire: Segment): string[] {
  return ['link', 'set', 'dev', portName(unit, wire), 'type', 'bridge_slave', 'flood', 'off'];
}

/** A segment of its own: cut at one end, the other keeps its carrier, as behind a media converter. */
async function layCable(topology: Topology): Promise<void> {
  const lines = [
    'link add name cable type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
    'link set cable up',
    ...pairNames.flatMap((unit) => [
      `link add name ${portName(unit, 'cable')} type veth peer name eth2 netns ${topology.namespace(unit)}`,
      `link set ${portName(unit, 'cable')} master cable up`,
    ]),
  ];
  const batch = (namespace: string, input: readonly string[]): Promise<string> =>
    run('ip', ['-n', namespace, '-batch', '-'], { input: `${input.join('\n')}\n` });
  await batch(topology.namespace('switch'), lines);
  for (const unit of pairNames) {
    await batch(topology.namespace(unit), [
      'link set eth2 up',
      `addr add ${cableAddress(unit, 4)}/24 dev eth2`,
      `addr add ${cableAddress(unit, 6)}/64 dev eth2 nodad`,
    ]);
  }
}

/** Where unit-a listens when the lab pairs the units: one link over the LAN, one over the cable. */
export const linkAddresses: readonly string[] = [addressOf('unit-a', 4), cableAddress('unit-a', 4)];
