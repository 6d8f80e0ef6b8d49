/**
 * The XDP tier in the kernel: loads the object, continues the tables that are pinned,
 * attaches the program to interfaces and keeps all of it pinned, so that traffic flows
 * on while no daemon runs.
 *
 * Pins, under the unit's directory on a BPF file system: `maps/NAME`, `program`,
 * `links/INTERFACE-INDEX-MODE`.
 *
 * Invariant: an interface that carries traffic is never without a program during an
 * upgrade: tables are filled first, then the link is told to run the new program.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { lock } from '../../native/ffi/lock-file.js';
import {
  BpfError,
  BpfLink,
  BpfObject,
  BpfProgram,
  isBpffs,
  mountBpffs,
  unpin,
  type BpfMap,
  type XdpMode,
} from '../../native/ffi/libbpf.js';
import type { HashTable, KernelTables, RowTable, CounterTable } from './kernel-tables.js';
import { layoutMismatches } from './layouts.js';

const PROGRAM = 'weir_xdp';
const SWEEPER = 'weir_sweep';
const MIRROR_WALK = 'weir_mirror_walk';
const MIRROR_TAKE = 'weir_mirror_take';

/** Every table that outlives the daemon. `needs`: a table without which its content has no meaning. */
const TABLES: readonly { readonly name: string; readonly needs?: string }[] = [
  { name: 'services', needs: 'lookup' },
  { name: 'addresses' },
  { name: 'members' },
  { name: 'lookup', needs: 'members' },
  { name: 'flows', needs: 'members' },
  { name: 'member_counters', needs: 'members' },
  { name: 'service_counters', needs: 'services' },
  { name: 'recent' },
  { name: 'fragments', needs: 'members' },
  { name: 'persistence', needs: 'members' },
  { name: 'quic_servers', needs: 'members' },
  { name: 'placements', needs: 'services' },
  { name: 'member_active', needs: 'flows' },
  { name: 'service_active', needs: 'flows' },
  { name: 'cookies', needs: 'services' },
  { name: 'cursors' },
  { name: 'nat_addresses', needs: 'flows' },
  { name: 'nat_ports', needs: 'flows' },
  { name: 'reply_sources' },
  { name: 'drops' },
  { name: 'totals' },
  { name: 'settings' },
  { name: 'elsewhere' },
  { name: 'ports' },
  { name: 'events' },
  { name: 'mirror' },
  { name: 'event_budget' },
  { name: 'protection', needs: 'services' },
  { name: 'access', needs: 'protection' },
  { name: 'member_limits', needs: 'members' },
  { name: 'service_due', needs: 'services' },
  { name: 'member_due', needs: 'members' },
  { name: 'source_active', needs: 'services' },
  { name: 'service_active', needs: 'services' },
  { name: 'member_active', needs: 'members' },
];

export interface DatapathOptions {
  /** The unit's directory on a BPF file system, made when absent. */
  readonly directory: string;
  readonly object: string;
  /** Sizes by table name, from the hardware profile. */
  readonly sizes: ReadonlyMap<string, number>;
}

export interface InterfaceRef {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
}

export interface AttachRequest extends InterfaceRef {
  readonly mode: XdpMode;
}

export interface Attachment extends AttachRequest {
  /** It was attached before this daemon started. */
  readonly adopted: boolean;
  /** When it was attached, milliseconds since 1970: the age of its pin. */
  readonly since: number;
}

interface Attached {
  readonly link: BpfLink;
  readonly attachment: Attachment;
  readonly pin: string;
}

export class Datapath {
  readonly kernel: KernelTables;
  /** What adoption found: sentences for the event log. */
  readonly findings: readonly string[];
  /** True when the tables were pinned by an earlier run. */
  readonly adopted: boolean;
  /** Names of the drop reasons by number, from the object's own enumeration. */
  readonly dropReasons: readonly string[];
  /** What can become of a record of the other unit, by number. */
  readonly mirrorOutcomes: readonly string[];
  readonly #object: BpfObject;
  readonly #program: BpfProgram;
  readonly #pinnedProgram: BpfProgram | null;
  readonly #directory: string;
  readonly #links = new Map<number, Attached>();
  /** Ports of the bonds that the program is wanted on. */
  readonly #bondPorts = new Map<number, readonly number[]>();
  readonly #unlock: () => void;

  private constructor(
    object: BpfObject,
    pinnedProgram: BpfProgram | null,
    directory: string,
    findings: readonly string[],
    adopted: boolean,
    unlock: () => void,
  ) {
    this.#unlock = unlock;
    this.#object = object;
    this.#pinnedProgram = pinnedProgram;
    this.#program = pinnedProgram ?? object.program(PROGRAM);
    this.#directory = directory;
    this.findings = findings;
    this.adopted = adopted;
    this.dropReasons = enumNames(object, 'weir_drop_reason', 'WEIR_DROP_');
    this.mirrorOutcomes = enumNames(object, 'weir_mirror_outcome', 'WEIR_MIRRORED_');
    this.kernel = {
      services: hashTable(object.map('services')),
      addresses: hashTable(object.map('addresses')),
      replySources: hashTable(object.map('reply_sources')),
      members: rowTable(object.map('members')),
      settings: rowTable(object.map('settings')),
      serviceCounters: counterTable(object.map('service_counters')),
      memberCounters: counterTable(object.map('member_counters')),
      memberActive: counterTable(object.map('member_active')),
      cookies: counterTable(object.map('cookies')),
      placements: rowTable(object.map('placements')),
      natAddresses: rowTable(object.map('nat_addresses')),
      quicServers: hashTable(object.map('quic_servers')),
      access: hashTable(object.map('access')),
      protection: rowTable(object.map('protection')),
      memberLimits: rowTable(object.map('member_limits')),
      serviceDue: rowTable(object.map('service_due')),
      memberDue: rowTable(object.map('member_due')),
      lookup: new Uint32Array(
        object.map('lookup').mmap().buffer,
        0,
        object.map('lookup').maxEntries * (object.map('lookup').valueSize / 4),
      ),
      limits: {
        services: object.map('services').maxEntries,
        members: object.map('members').maxEntries,
        replySources: object.map('reply_sources').maxEntries,
        access: object.map('access').maxEntries,
        flows: object.map('flows').maxEntries,
      },
    };
  }

  /** Throws BpfError when the kernel refuses, or the daemon and the object disagree on a layout. */
  static open(options: DatapathOptions): Datapath {
    prepareDirectory(options.directory);
    const unlock = lock(options.directory);
    try {
      return Datapath.#openLocked(options, unlock);
    } catch (cause) {
      unlock();
      throw cause;
    }
  }

  static #openLocked(options: DatapathOptions, unlock: () => void): Datapath {
    const pins = new Map(TABLES.map(({ name }) => [name, join(options.directory, 'maps', name)]));
    const { object, findings } = openWithPins(options, pins);
    try {
      const btf = object.btf();
      const problems = layoutMismatches((name) => btf.struct(name) ?? undefined);
      if (problems.length > 0) {
        throw new BpfError(
          `the XDP object and the daemon are of different builds (${problems.join('; ')}): build both again`,
          { code: 'ELAYOUT' },
        );
      }
      object.load();
      let reused = 0;
      for (const [name, pin] of pins) {
        if (object.pinned.get(name)?.state === 'reused') {
          reused++;
          continue;
        }
        unpin(pin);
        object.map(name).pin(pin);
      }
      const same = continueProgram(object, join(options.directory, 'program'));
      return new Datapath(object, same, options.directory, findings, reused > 0, unlock);
    } catch (cause) {
      object.close();
      throw cause;
    }
  }

  map(name: string): BpfMap {
    return this.#object.map(name);
  }

  /** The program that every interface runs. */
  get program(): BpfProgram {
    return this.#program;
  }

  /** The program that walks over the flow table (native/bpf/sweep.h). */
  get sweeper(): BpfProgram {
    return this.#object.program(SWEEPER);
  }

  /** The program that tells the other unit of flows (native/bpf/mirror_walk.h). */
  get mirrorWalk(): BpfProgram {
    return this.#object.program(MIRROR_WALK);
  }

  /** The program that takes what the other unit tells (native/bpf/mirror_take.h). */
  get mirrorTake(): BpfProgram {
    return this.#object.program(MIRROR_TAKE);
  }

  /** Descriptor of the table of virtual routers that another unit has, which the speaker writes. */
  get elsewhere(): number {
    return this.#object.map('elsewhere').fd;
  }

  /** When the counters began, milliseconds since 1970: the age of their pin. */
  get pinnedSince(): number {
    return Math.floor(statSync(join(this.#directory, 'maps', 'service_counters')).mtimeMs);
  }

  /** Another one for other tables, also after the machine was started anew. */
  get tableId(): string {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}/${this.map('flows').info().id}`;
  }

  get programTag(): string {
    return this.#program.info().tag;
  }

  attachments(): Attachment[] {
    return [...this.#links.values()].map(({ attachment }) => attachment);
  }

  /**
   * How the program runs on this interface now, in whatever mode: by this run, or pinned by an
   * earlier one, which is adopted. Null when it does not, or when somebody took it off.
   */
  current(request: InterfaceRef): Attachment | null {
    const known = this.#links.get(request.interfaceIndex);
    if (known !== undefined) {
      if (known.link.info().interfaceIndex === request.interfaceIndex) return known.attachment;
      this.#forget(known);
      return null;
    }
    return this.#adoptLink(request);
  }

  /** Runs the program on an interface that it is not on. Throws BpfError when the driver refuses. */
  attach(request: AttachRequest): Attachment {
    this.#allowRedirect(request.interfaceIndex);
    const link = BpfLink.attachXdp(this.#program, request.interfaceIndex, request.mode);
    const pin = join(this.#directory, 'links', `${request.interfaceIndex}-${request.mode}`);
    try {
      unpin(pin);
      link.pin(pin);
    } catch (cause) {
      link.close();
      throw cause;
    }
    const attachment = { ...request, adopted: false, since: statSync(pin).mtimeMs };
    this.#links.set(request.interfaceIndex, { link, attachment, pin });
    return attachment;
  }

  /** Takes the program off an interface that it is on. */
  detach(interfaceIndex: number): void {
    const known = this.#links.get(interfaceIndex);
    if (known === undefined) return;
    if (known.link.info().interfaceIndex !== 0) known.link.detach();
    this.#forget(known);
  }

  #forget({ link, attachment, pin }: Attached): void {
    link.close();
    unpin(pin);
    this.#links.delete(attachment.interfaceIndex);
  }

  /** Takes the program off every interface that is not in `wanted`, also off those of earlier runs. */
  detachOthers(wanted: ReadonlySet<number>): number[] {
    const detached: number[] = [];
    for (const { index, pin } of this.#pinnedLinks()) {
      if (wanted.has(index)) continue;
      const known = this.#links.get(index)?.link ?? BpfLink.open(pin);
      // A link whose interface is gone has nothing left to detach.
      if (known.info().interfaceIndex !== 0) {
        known.detach();
        detached.push(index);
      }
      known.close();
      unpin(pin);
      this.#links.delete(index);
      this.map('ports').delete(indexKey(index));
      this.allowPorts(index, []);
    }
    return detached;
  }

  /**
   * Frames for the ports of a bond leave by the bond. XDP sees them come in by a port, and so
   * remembers that as the way back.
   */
  allowPorts(bond: number, ports: readonly number[]): void {
    const before = this.#bondPorts.get(bond) ?? [];
    for (const port of before) {
      if (!ports.includes(port) && !this.#links.has(port)) this.map('ports').delete(indexKey(port));
    }
    for (const port of ports) if (!before.includes(port)) this.#allowRedirect(port, bond);
    if (ports.length > 0) this.#bondPorts.set(bond, ports);
    else this.#bondPorts.delete(bond);
  }

  /** Lets go of everything here; what is pinned goes on in the kernel. */
  close(): void {
    for (const { link } of this.#links.values()) link.close();
    this.#links.clear();
    this.#pinnedProgram?.close();
    this.#object.close();
    this.#unlock();
  }

  #adoptLink(request: InterfaceRef): Attachment | null {
    for (const { index, mode, pin } of this.#pinnedLinks()) {
      if (index !== request.interfaceIndex) continue;
      const link = BpfLink.open(pin);
      try {
        const info = link.info();
        // The index may have gone to another interface since, and this link died with the old one.
        if (info.interfaceIndex !== request.interfaceIndex) {
          link.close();
          unpin(pin);
          continue;
        }
        if (info.programId !== this.#program.info().id) link.update(this.#program);
      } catch (cause) {
        link.close();
        throw cause;
      }
      this.#allowRedirect(index);
      const attachment = { ...request, mode, adopted: true, since: statSync(pin).mtimeMs };
      this.#links.set(index, { link, attachment, pin });
      return attachment;
    }
    return null;
  }

  #pinnedLinks(): { index: number; mode: XdpMode; pin: string }[] {
    const directory = join(this.#directory, 'links');
    return readdirSync(directory).flatMap((name) => {
      const match = /^(\d+)-(native|generic)$/.exec(name);
      if (match === null) return [];
      const mode: XdpMode = match[2] === 'native' ? 'native' : 'generic';
      return [{ index: Number(match[1]), mode, pin: join(directory, name) }];
    });
  }

  /** @param by the interface to leave by in its place */
  #allowRedirect(index: number, by: number = index): void {
    const ports = this.map('ports');
    const value = new Uint8Array(ports.valueSize);
    new DataView(value.buffer).setUint32(0, by, true);
    ports.update(indexKey(index), value);
  }
}

/**
 * Takes a unit's program off all its interfaces and forgets its tables. Only while no daemon
 * uses them. Returns the indices of the interfaces that it was on. Throws LockError, BpfError.
 */
export function removeDatapath(directory: string): number[] {
  const unlock = lock(directory);
  try {
    return removeLocked(directory);
  } finally {
    unlock();
  }
}

function removeLocked(directory: string): number[] {
  const detached: number[] = [];
  const links = join(directory, 'links');
  for (const name of existsSync(links) ? readdirSync(links) : []) {
    const link = BpfLink.open(join(links, name));
    const index = link.info().interfaceIndex;
    if (index !== 0) {
      link.detach();
      detached.push(index);
    }
    link.close();
    unpin(join(links, name));
  }
  unpin(join(directory, 'program'));
  for (const { name } of TABLES) unpin(join(directory, 'maps', name));
  for (const name of ['maps', 'links']) {
    rmSync(join(directory, name), { recursive: true, force: true });
  }
  // The directory itself may be where the file system is mounted: then it stays.
  if (isBpffs(dirname(directory))) rmdirSync(directory);
  return detached;
}

function prepareDirectory(directory: string): void {
  const system = '/sys/fs/bpf';
  let existing = directory;
  while (!existsSync(existing)) existing = dirname(existing);
  if (directory === system || directory.startsWith(`${system}/`)) mountBpffs(system);
  else if (!isBpffs(existing)) mountBpffs(directory);
  for (const name of ['maps', 'links'])
    mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
}

/**
 * Opens the object on the pinned tables that fit. One that does not, and those that mean
 * nothing without it, are made afresh.
 */
function openWithPins(
  options: DatapathOptions,
  pins: ReadonlyMap<string, string>,
): { object: BpfObject; findings: string[] } {
  const findings: string[] = [];
  const wanted = new Map(pins);
  for (;;) {
    const object = BpfObject.open(options.object, { mapMaxEntries: options.sizes, pinned: wanted });
    const unusable = new Set(
      TABLES.filter(({ name }) => object.pinned.get(name)?.state !== 'reused').map(
        ({ name }) => name,
      ),
    );
    for (const { name } of TABLES) {
      const outcome = object.pinned.get(name);
      if (outcome?.state === 'mismatch') findings.push(outcome.error.message);
    }
    const orphans = TABLES.filter(
      ({ name, needs }) => needs !== undefined && unusable.has(needs) && !unusable.has(name),
    );
    if (orphans.length === 0) return { object, findings };
    object.close();
    for (const { name, needs } of orphans) {
      findings.push(
        `the pinned table ${name} means nothing without ${needs!}; a fresh one takes its place`,
      );
      wanted.delete(name);
    }
  }
}

/** The pinned program, when it is the same as the object's and works on the same tables. */
function continueProgram(object: BpfObject, pin: string): BpfProgram | null {
  const fresh = object.program(PROGRAM);
  let pinned: BpfProgram | null = null;
  try {
    pinned = BpfProgram.open(pin);
  } catch (cause) {
    if (!(cause instanceof BpfError) || cause.code !== 'ENOENT') throw cause;
  }
  if (pinned !== null) {
    const theirs = pinned.info();
    const sameTables = TABLES.every(({ name }) =>
      theirs.mapIds.includes(object.map(name).info().id),
    );
    if (fresh.info().tag === theirs.tag && sameTables) return pinned;
    pinned.close();
    unpin(pin);
  }
  fresh.pin(pin);
  return null;
}

function enumNames(object: BpfObject, name: string, prefix: string): string[] {
  const names: string[] = [];
  for (const [constant, value] of object.btf().enum(name)?.values ?? []) {
    if (constant.startsWith(prefix)) {
      names[value] = constant.slice(prefix.length).toLowerCase().replaceAll('_', '-');
    }
  }
  return names;
}

function indexKey(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}

function hashTable(map: BpfMap): HashTable {
  return {
    updateMany: (keys, values) => {
      map.updateBatch(keys, values);
    },
    remove: (key) => {
      map.delete(key);
    },
    entries: () => {
      const { count, keys, values } = map.readAll();
      return Array.from({ length: count }, (_, index) => ({
        key: keys.slice(index * map.keySize, (index + 1) * map.keySize),
        value: values.slice(index * map.valueBytes, (index + 1) * map.valueBytes),
      }));
    },
  };
}

function rowTable(map: BpfMap): RowTable {
  return {
    setMany: (rows, values) => {
      map.updateBatch(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), values);
    },
    readAll: () => Uint8Array.from(map.readAll().values),
  };
}

function counterTable(map: BpfMap): CounterTable {
  return {
    reset: (row) => {
      map.update(indexKey(row), new Uint8Array(map.valueBytes));
    },
  };
}
