/**
 * ns of CPU a packet in the XDP program, measured with BPF_PROG_TEST_RUN through the wrapper of
 * native/bpf/bench.bpf.c, on one CPU. The floor is the empty program through the same wrapper.
 *
 *     npm run bench -- l4 [--json] [--runs N] [--repeat N]
 *
 * Invariant: before a case is timed, one run must give the expected verdict and length: a
 * program that only drops is fast and worth nothing.
 */
import { fileURLToPath } from 'node:url';
import { pinThread } from '../../native/ffi/affinity.js';
import { BpfObject, type BpfProgram } from '../../native/ffi/libbpf.js';
import { Datapath, serviceFlags } from '../bpf/datapath.js';
import { echo, frame } from '../bpf/packets.js';
import { combinations, Scene, type Combination } from '../bpf/scene.js';
import { spread, type Spread } from './report.js';

export interface BenchOptions {
  readonly json: boolean;
  /** Timed runs of each case. */
  readonly runs: number;
  /** Packets in each run. */
  readonly repeat: number;
}

export const defaults: BenchOptions = { json: false, runs: 9, repeat: 500_000 };

/**
 * Net figures of Katran (ns a packet) for what it has in common with a case: least of 21 runs of a
 * million packets on one CPU of an AMD EPYC of the Zen 4 family, less a wrapper like this one, in
 * ns. It does not run here: its figures are scaled by what an empty program took there without a
 * wrapper, and so are no more than that.
 */
const KATRAN_EMPTY = 21.5;

interface Case {
  readonly name: string;
  /** Katran's net figure for the same work. */
  readonly katran?: number;
  readonly combination: string;
  /** How many flows take turns; 1 unless told. A power of two; more than 1 only with IPv4. */
  readonly flows?: number;
  /** At most so many packets in a run, before which the table of flows is emptied. */
  readonly fresh?: number;
  readonly verdict: 'pass' | 'tx';
  /** Bytes that the packet gets longer; below 0: shorter. */
  readonly longer?: number;
  /** Prepares the scene and returns the frame. */
  readonly prepare: (scene: Scene) => Buffer;
}

/** Long enough for the wrapper to restore, and nobody's maximum. */
const payload = new Uint8Array(64);

const established = (scene: Scene): Buffer => frame(scene.request({ payload }));

/** Benchmarked in this order. */
const cases: readonly Case[] = [
  {
    name: 'l4.pass',
    katran: 48,
    combination: 'dsr tcp ipv4',
    verdict: 'pass',
    prepare: (scene) => {
      scene.path.settings({ natServices: 0 });
      return frame(scene.request({ destination: scene.addresses.other, payload }));
    },
  },
  {
    name: 'l4.pass.nat',
    combination: 'nat tcp ipv4',
    verdict: 'pass',
    prepare: (scene) => frame(scene.request({ destination: scene.addresses.other, payload })),
  },
  {
    name: 'l4.dsr.established.tcp4',
    katran: 101,
    combination: 'dsr tcp ipv4',
    verdict: 'tx',
    prepare: established,
  },
  {
    name: 'l4.dsr.established.tcp6',
    combination: 'dsr tcp ipv6',
    verdict: 'tx',
    prepare: established,
  },
  {
    name: 'l4.dsr.established.udp4',
    combination: 'dsr udp ipv4',
    verdict: 'tx',
    prepare: established,
  },
  {
    name: 'l4.nat.established.tcp4',
    katran: 101,
    combination: 'nat tcp ipv4',
    verdict: 'tx',
    prepare: established,
  },
  {
    name: 'l4.nat.established.reply',
    katran: 101,
    combination: 'nat tcp ipv4',
    verdict: 'tx',
    prepare: (scene) => {
      scene.expectAt(scene.home);
      return frame(scene.answer(scene.home, { payload }));
    },
  },
  {
    name: 'l4.full-nat.established.tcp4',
    katran: 101,
    combination: 'full-nat tcp ipv4',
    verdict: 'tx',
    prepare: established,
  },
  ...(['nat', 'full-nat'] as const).map((forwarding): Case => ({
    name: `l4.${forwarding}.new`,
    katran: 690,
    combination: `${forwarding} tcp ipv4`,
    flows: 2 ** 31,
    // Two entries each in the table; full nat has 32,256 ports towards a member.
    fresh: forwarding === 'nat' ? 200_000 : 20_000,
    verdict: 'tx',
    prepare: (scene) => frame(scene.request({ payload, flags: 'S' })),
  })),
  {
    name: 'l4.nat.cookie.syn',
    combination: 'nat tcp ipv4',
    verdict: 'tx',
    // The answer has no payload, and one option.
    longer: 4 - payload.length,
    prepare: (scene) => {
      const flags = serviceFlags.cookies | serviceFlags.cookiesAlways;
      scene.path.service({ ...scene.service, flags });
      return frame(scene.request({ payload, flags: 'S' }));
    },
  },
  {
    name: 'l4.dsr.established.64k',
    combination: 'dsr tcp ipv4',
    flows: 1 << 16,
    verdict: 'tx',
    prepare: established,
  },
  {
    name: 'l4.dsr.new',
    katran: 690,
    combination: 'dsr tcp ipv4',
    flows: 2 ** 31,
    verdict: 'tx',
    prepare: (scene) => frame(scene.request({ payload, flags: 'S' })),
  },
  {
    name: 'l4.dsr.established.1m',
    katran: 517,
    combination: 'dsr tcp ipv4',
    flows: 1 << 20,
    verdict: 'tx',
    prepare: established,
  },
  ...(['tcp ipv4', 'tcp ipv6', 'udp ipv4'] as const).map((of): Case => ({
    name: `l4.tunnel.established.${of.startsWith('tcp') ? 'tcp' : 'udp'}${of.at(-1) ?? ''}`,
    katran: of.startsWith('udp') ? 131 : of.endsWith('4') ? 101 : 100,
    combination: `dsr ${of}`,
    verdict: 'tx',
    longer: of.endsWith('4') ? 20 : 40,
    prepare: (scene) => {
      scene.path.service({ ...scene.service, forwarding: 'tunnel' });
      return established(scene);
    },
  })),
  {
    name: 'l4.tunnel.established.1m',
    katran: 517,
    combination: 'dsr tcp ipv4',
    flows: 1 << 20,
    verdict: 'tx',
    longer: 20,
    prepare: (scene) => {
      scene.path.service({ ...scene.service, forwarding: 'tunnel' });
      return established(scene);
    },
  },
  {
    name: 'l4.tunnel.new',
    katran: 690,
    combination: 'dsr tcp ipv4',
    flows: 2 ** 31,
    verdict: 'tx',
    longer: 20,
    prepare: (scene) => {
      scene.path.service({ ...scene.service, forwarding: 'tunnel' });
      return frame(scene.request({ payload, flags: 'S' }));
    },
  },
  {
    name: 'l4.tunnel.gue.tcp4',
    katran: 283,
    combination: 'dsr tcp ipv4',
    verdict: 'tx',
    longer: 28,
    prepare: (scene) => {
      scene.path.service({ ...scene.service, forwarding: 'tunnel', guePort: 6080 });
      return established(scene);
    },
  },
  {
    name: 'l4.echo',
    combination: 'dsr tcp ipv4',
    verdict: 'tx',
    prepare: (scene) =>
      echo({ source: scene.addresses.client, destination: scene.addresses.service, payload }),
  },
];

const FRAME_BYTES = 96;
/** What production would allow; new flows each want one. */
const EVENTS_PER_SECOND = 100;
const PRODUCTION_FLOWS = 1 << 20;
const verdicts = { pass: 2, tx: 3 } as const;

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

class Wrapper {
  readonly #object: BpfObject;

  constructor() {
    const path = fileURLToPath(new URL('../../native/bpf/bench.bpf.o', import.meta.url));
    const object = BpfObject.open(path);
    try {
      this.#object = object.load();
    } catch (cause) {
      object.close();
      throw cause;
    }
  }

  get empty(): BpfProgram {
    return this.#object.program('bench_empty');
  }

  close(): void {
    this.#object.close();
  }

  /** Nanoseconds a packet, and what the last run gave back. */
  run(
    program: BpfProgram,
    bytes: Buffer,
    repeat: number,
  ): { nanoseconds: number; action: number; length: number } {
    this.#object.map('bench_target').update(u32(0), u32(program.fd));
    const result = this.#object.program('bench_xdp').testRun({ data: bytes, repeat });
    return {
      nanoseconds: result.nanoseconds,
      action: result.action,
      length: result.data.length,
    };
  }

  /** The frame that every repeat starts from. */
  load(bytes: Buffer, flows: number): void {
    const value = new Uint8Array(FRAME_BYTES + 16);
    value.set(bytes.subarray(0, FRAME_BYTES));
    const view = new DataView(value.buffer);
    view.setUint32(FRAME_BYTES, bytes.length, true);
    view.setUint32(FRAME_BYTES + 12, flows - 1, true);
    this.#object.map('bench_frame').update(u32(0), value);
  }
}

function combinationOf(name: string): Combination {
  const found = combinations.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no combination ${name}`);
  return found;
}

function measure(one: Case, path: Datapath, wrapper: Wrapper, options: BenchOptions): void {
  const scene = new Scene(path, combinationOf(one.combination));
  path.settings({ eventsPerSecond: EVENTS_PER_SECOND, natAddresses: [scene.addresses.nat] });
  const bytes = one.prepare(scene);
  wrapper.load(bytes, one.flows ?? 1);
  const program = path.object.program('weir_xdp');
  const check = wrapper.run(program, bytes, 1);
  if (check.action !== verdicts[one.verdict] || check.length !== bytes.length + (one.longer ?? 0)) {
    throw new Error(
      `${one.name}: verdict ${check.action} and ${check.length} bytes, expected ${one.verdict} and ${bytes.length}; drops ${JSON.stringify(path.drops())}`,
    );
  }
  // Warm caches and, with many flows, the table.
  wrapper.run(
    program,
    bytes,
    one.fresh !== undefined
      ? 1000
      : Math.max(options.repeat / 4, Math.min(one.flows ?? 1, 1 << 17)),
  );
  const repeat = Math.min(options.repeat, one.fresh ?? options.repeat);
  const table = path.map('flows');
  const ours: number[] = [];
  const floor: number[] = [];
  const empty: number[] = [];
  // In turns, so that a change of the machine's mood hits both.
  for (let run = 0; run < options.runs; run++) {
    if (one.fresh !== undefined) table.deleteBatch(table.readAll().keys);
    floor.push(wrapper.run(wrapper.empty, bytes, repeat).nanoseconds);
    ours.push(wrapper.run(program, bytes, repeat).nanoseconds);
    empty.push(wrapper.empty.testRun({ data: bytes, repeat }).nanoseconds);
  }
  const dropped = path.drops();
  if (Object.keys(dropped).length > 0) {
    throw new Error(`${one.name}: packets were dropped: ${JSON.stringify(dropped)}`);
  }
  report(one, spread(ours), spread(floor), spread(empty), options);
}

function report(
  one: Case,
  ours: Spread,
  floor: Spread,
  empty: Spread,
  options: BenchOptions,
): void {
  const { name, katran } = one;
  const net = ours.min - floor.min;
  const theirs = katran === undefined ? undefined : (katran * empty.min) / KATRAN_EMPTY;
  const ratio = theirs === undefined ? undefined : Number((net / theirs).toFixed(2));
  if (options.json) {
    const peer = ratio === undefined ? {} : { peer: 'katran, scaled by the empty program', ratio };
    console.log(JSON.stringify({ case: name, unit: 'ns/packet', ours, floor, net, ...peer }));
    return;
  }
  const text = (value: number): string => String(value).padStart(6);
  console.log(
    `${name.padEnd(26)}${text(ours.min)}${text(ours.median)}${text(ours.max)}   floor${text(floor.min)}   net${text(net)}` +
      (ratio === undefined ? '' : `   ${ratio.toFixed(2)} of Katran's`),
  );
}

/** Measures every case and prints it. Needs root and BPF; throws BpfError without. */
export function run(options: BenchOptions = defaults): Promise<void> {
  const unpinThread = pinThread(0);
  if (!options.json) {
    console.log(
      `ns a packet: min median max of ${options.runs} runs of ${options.repeat}; net is min less the floor`,
    );
  }
  try {
    const path = Datapath.open(PRODUCTION_FLOWS);
    try {
      const wrapper = new Wrapper();
      try {
        for (const one of cases) measure(one, path, wrapper, options);
      } finally {
        wrapper.close();
      }
    } finally {
      path.close();
    }
  } finally {
    unpinThread();
  }
  return Promise.resolve();
}
