/**
 * BPF programs and XDP links: test runs, attaching, swapping, pinning.
 * Sources: Documentation/bpf/bpf_prog_run.rst, Documentation/networking/af_xdp.rst (modes), bpf(2).
 *
 * Invariant: a link that is pinned outlives this process; closing a BpfLink never detaches a
 * pinned link. An unpinned link detaches when its last descriptor closes.
 */
import { closeSync, unlinkSync } from 'node:fs';
import { BpfError } from './bpf-error.js';
import { linkInfo, programInfo, type LinkInfo, type ProgramInfo } from './bpf-info.js';
import * as raw from './libbpf-raw.js';
import { addressOf, holding } from './memory.js';

/** What an XDP program may answer (enum xdp_action of linux/bpf.h). */
export const xdpActions = { aborted: 0, drop: 1, pass: 2, tx: 3, redirect: 4 } as const;

export interface TestRun {
  /** The frame, from its Ethernet header on. At least 14 bytes. */
  readonly data: Uint8Array;
  /** How often; the frame is not restored in between. 1 unless told. */
  readonly repeat?: number;
  /** Interface that it seems to come from: must exist in this network namespace. Loopback unless told. */
  readonly ingressInterface?: number;
}

export interface TestResult {
  /** The program's return value, for XDP one of xdpActions. */
  readonly action: number;
  readonly data: Uint8Array;
  /** Mean over the repeats, in whole nanoseconds. */
  readonly nanoseconds: number;
}

/** struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex. */
const CONTEXT_BYTES = 24;
const TEST_OPTIONS_BYTES = 80;
/** BPF_F_TEST_XDP_LIVE_FRAMES of linux/bpf.h. */
const LIVE_FRAMES = 1 << 1;
/** The kernel lends a test run one page: no frame grows beyond it. */
const MAX_FRAME_OUT = 4096;

export class BpfProgram {
  readonly fd: number;
  readonly name: string;
  readonly #owned: boolean;
  #closed = false;

  private constructor(fd: number, name: string, owned: boolean) {
    this.fd = fd;
    this.name = name;
    this.#owned = owned;
  }

  /** A program whose descriptor somebody else owns. */
  static borrow(fd: number, name: string): BpfProgram {
    return new BpfProgram(fd, name, false);
  }

  /** Opens a pinned program; `close` it. Throws BpfError (`ENOENT` when nothing is pinned there). */
  static open(path: string): BpfProgram {
    const fd = raw.objGet(path);
    if (fd < 0) throw new BpfError(`cannot open the pinned program ${path}`, { errno: -fd });
    try {
      return new BpfProgram(fd, programInfo(fd).name, true);
    } catch (cause) {
      closeSync(fd);
      throw cause;
    }
  }

  info(): ProgramInfo {
    return programInfo(this.fd);
  }

  /** Runs the program on a frame without any network (BPF_PROG_TEST_RUN). Throws BpfError. */
  testRun(run: TestRun): TestResult {
    const out = new Uint8Array(MAX_FRAME_OUT);
    const options = new Uint8Array(TEST_OPTIONS_BYTES);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, BigInt(TEST_OPTIONS_BYTES), true);
    view.setBigUint64(8, addressOf(run.data), true);
    view.setBigUint64(16, addressOf(out), true);
    view.setUint32(24, run.data.length, true);
    view.setUint32(28, out.length, true);
    view.setInt32(60, run.repeat ?? 1, true);
    const context = new Uint8Array(CONTEXT_BYTES);
    if (run.ingressInterface !== undefined) {
      const fields = new DataView(context.buffer);
      fields.setUint32(4, run.data.length, true);
      fields.setUint32(12, run.ingressInterface, true);
      view.setBigUint64(32, addressOf(context), true);
      view.setUint32(48, CONTEXT_BYTES, true);
    }
    const result = holding([run.data, out, context], () => raw.testRun(this.fd, options));
    if (result < 0) {
      throw new BpfError(`cannot run the program ${this.name} on a test frame`, { errno: -result });
    }
    return {
      action: view.getUint32(56, true),
      data: out.subarray(0, view.getUint32(28, true)),
      nanoseconds: view.getUint32(64, true),
    };
  }

  /**
   * Runs the program on a frame that then goes where it sends it: into the kernel, or out by an
   * interface, whose driver must send frames for XDP (kernel 5.18, "live frames"). What became of
   * it the kernel does not say. Throws BpfError.
   */
  runLive({ data, ingressInterface = 1 }: Omit<TestRun, 'repeat'>): void {
    const options = new Uint8Array(TEST_OPTIONS_BYTES);
    const view = new DataView(options.buffer);
    const context = new Uint8Array(CONTEXT_BYTES);
    const fields = new DataView(context.buffer);
    fields.setUint32(4, data.length, true);
    fields.setUint32(12, ingressInterface, true);
    view.setBigUint64(0, BigInt(TEST_OPTIONS_BYTES), true);
    view.setBigUint64(8, addressOf(data), true);
    view.setUint32(24, data.length, true);
    view.setBigUint64(32, addressOf(context), true);
    view.setUint32(48, CONTEXT_BYTES, true);
    view.setInt32(60, 1, true);
    view.setUint32(68, LIVE_FRAMES, true);
    view.setUint32(76, 1, true);
    const result = holding([data, context], () => raw.testRun(this.fd, options));
    if (result < 0) {
      throw new BpfError(`cannot send a frame through the program ${this.name}`, {
        errno: -result,
      });
    }
  }

  /**
   * Runs a program of type syscall on its context, which it may write to, in a thread of the pool.
   * Throws BpfError. Kernel: Documentation/bpf/libbpf/program_types.rst.
   */
  async runSyscall(context: Uint8Array): Promise<void> {
    const options = syscallOptions(context);
    this.#ended(await raw.testRunAside(this.fd, options), options, context);
  }

  /** The same at once: for what is done in a moment. Throws BpfError. */
  runSyscallNow(context: Uint8Array): void {
    const options = syscallOptions(context);
    this.#ended(
      holding([context], () => raw.testRun(this.fd, options)),
      options,
      context,
    );
  }

  /** Names both behind the call, so that neither is collected meanwhile. */
  #ended(result: number, options: Uint8Array, context: Uint8Array): void {
    const value = new DataView(options.buffer).getUint32(56, true);
    if (result < 0) {
      throw new BpfError(`cannot run the program ${this.name}`, { errno: -result });
    }
    if (value !== 0 || context.length === 0) {
      throw new BpfError(`the program ${this.name} ended with ${value}`);
    }
  }

  /** Pins the program under a path on a BPF file system. */
  pin(path: string): void {
    const result = raw.objPin(this.fd, path);
    if (result < 0) {
      throw new BpfError(`cannot pin the program ${this.name} at ${path}`, { errno: -result });
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#owned) closeSync(this.fd);
  }
}

function syscallOptions(context: Uint8Array): Uint8Array {
  const options = new Uint8Array(TEST_OPTIONS_BYTES);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, BigInt(TEST_OPTIONS_BYTES), true);
  view.setBigUint64(32, addressOf(context), true);
  view.setUint32(48, context.length, true);
  return options;
}

/** BPF_XDP of enum bpf_attach_type. */
const ATTACH_XDP = 37;
/** `native`: in the driver. `generic`: after the kernel made a socket buffer, slower, everywhere. */
export type XdpMode = 'native' | 'generic';
/** XDP_FLAGS_DRV_MODE and XDP_FLAGS_SKB_MODE of linux/if_link.h. */
const modeFlags: Readonly<Record<XdpMode, number>> = { generic: 1 << 1, native: 1 << 2 };
/** BPF_F_REPLACE: only when the link still runs the expected program. */
const REPLACE_EXPECTED = 1 << 2;

export class BpfLink {
  readonly fd: number;
  #closed = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Attaches a program to an interface. Throws BpfError: `EOPNOTSUPP` when the driver has no
   * native mode, `EBUSY` when another program is there, `EINVAL` when there is no such interface
   * or its settings (MTU, queues) do not allow XDP.
   */
  static attachXdp(program: BpfProgram, interfaceIndex: number, mode: XdpMode): BpfLink {
    const options = new Uint8Array(56);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 56n, true);
    view.setUint32(8, modeFlags[mode], true);
    const fd = raw.linkCreate(program.fd, interfaceIndex, ATTACH_XDP, options);
    if (fd < 0) {
      const where = `interface ${interfaceIndex} in ${mode} mode`;
      throw new BpfError(`cannot attach ${program.name} to ${where}`, { errno: -fd });
    }
    return new BpfLink(fd);
  }

  /** Opens a pinned link. Throws BpfError (`ENOENT` when nothing is pinned there). */
  static open(path: string): BpfLink {
    const fd = raw.objGet(path);
    if (fd < 0) throw new BpfError(`cannot open the pinned link ${path}`, { errno: -fd });
    return new BpfLink(fd);
  }

  info(): LinkInfo {
    return linkInfo(this.fd);
  }

  /**
   * Swaps the program without missing a packet. With `expected` only when the link still runs
   * that one; otherwise throws BpfError with code `EPERM`.
   */
  update(program: BpfProgram, expected?: BpfProgram): void {
    const options = new Uint8Array(16);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 16n, true);
    if (expected !== undefined) {
      view.setUint32(8, REPLACE_EXPECTED, true);
      view.setUint32(12, expected.fd, true);
    }
    const result = raw.linkUpdate(this.fd, program.fd, options);
    if (result < 0) {
      throw new BpfError(`cannot swap the program of link ${this.fd} for ${program.name}`, {
        errno: -result,
      });
    }
  }

  pin(path: string): void {
    const result = raw.objPin(this.fd, path);
    if (result < 0) throw new BpfError(`cannot pin the link at ${path}`, { errno: -result });
  }

  /** Takes the program off the interface, pinned or not. */
  detach(): void {
    const result = raw.linkDetach(this.fd);
    if (result < 0) throw new BpfError('cannot detach the link', { errno: -result });
  }

  /** Closes the descriptor. An unpinned link detaches by that. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.fd);
  }
}

/** Removes a pin; what was pinned goes when nobody else holds it. False when there was none. */
export function unpin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false;
    throw new BpfError(`cannot remove the pin ${path}`, { code: 'EUNPIN', cause });
  }
}
